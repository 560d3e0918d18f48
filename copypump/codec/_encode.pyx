"""The native half of the Encoder: from Arrow buffers to COPY BINARY rows, without the GIL.

One call binds its arrays (every length, offset and buffer size that a transform could have got wrong is
checked against the memory that is there), bounds the bytes that the rows can take, and writes them in one
sweep. The sweep goes row by row, with a switch over the forms of the columns: the output is then written
front to back, while the inputs are read by as many streams as there are columns.

Measured on TPC-H lineitem (16 columns, 201 bytes a row, 5,000 rows a call, AMD EPYC): 70 ns a row, so 4.4 ns
a field; 2.3 - 3.5 ns an int4 or date, 4.3 ns a text, 8 ns a numeric(15,2). Going column by column with a
cursor for each row took 101 ns, and in tiles of 32 rows 160 ns, both without the pass that finds the cursors.

Values that hold others are written by functions of their own, through a pointer in their lane; the columns'
own switch is not called from there (see _encode_leaves.pxd), and lineitem takes what it took without them.
Per value, of what bench/codec.py makes: an int4[] 21 ns, a text[] 41 ns, a composite of int4 and text 14 ns,
an enum in a dictionary 6 ns, an hstore 49 ns. A length word is filled in behind the value's last part.

No buffer is trusted to stay as it was when it was checked: lengths are compared with what is left of the
input and of the output again, just before each copy.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from copypump.codec._buffers import Buffers

from copypump.codec._encode_bind cimport bind, bind_ids, memory
from copypump.codec._encode_checks cimport (
    check_offsets, check_texts, first_null, is_set, offset_at, source_row
)
from copypump.codec._encode_nested cimport check_tree, fixed_bytes, is_listed, put_of
from copypump.codec._encode_values cimport (
    kernel_of, put_date, put_piece, put_short_decimal128, put_time, put_timestamp
)
from copypump.codec._texts cimport make_texts


cdef enum:
    SLACK = 64  # what stores of whole words may write beyond a row's last byte
    MAX_BYTES = 0x7FFFFFFF - 2 * SLACK  # of one call
    MAX_LANES = 1 << 22  # so that their numbers, and sums of their widths, have room in an int and an int64


# ---- wire columns


cdef inline int64_t field_size(const Origin *origin, int column, int64_t row) noexcept nogil:
    """Count the bytes of one field of the block, its length word included."""
    cdef int32_t position = origin.positions[column * origin.stride + row]
    if position < 0:
        return 4
    return 4 + <int64_t>get32(origin.data + position - 4)


cdef int64_t fields_size(const Lane *lane, const Origin *origin, int64_t row) noexcept nogil:
    """Count the bytes of a run of fields one by one."""
    cdef int64_t size = 0
    cdef int column
    for column in range(lane.first, lane.last + 1):
        size += field_size(origin, column, row)
    return size


cdef inline int64_t run_size(
    const Lane *lane, const Origin *origin, int64_t row, const uint8_t **start
) noexcept nogil:
    """Count the bytes of a run of fields; `start` gets where they lie in one piece, or NULL.

    Neighbours on the wire are one piece whatever is between the first and the last, which may not be NULL: a
    NULL has no position.
    """
    cdef int32_t first = origin.positions[lane.first * origin.stride + row]
    cdef int32_t last = origin.positions[lane.last * origin.stride + row]
    if first >= 0 and last >= 0:
        start[0] = origin.data + first - 4
        return <int64_t>last - first + 4 + <int64_t>get32(origin.data + last - 4)
    start[0] = NULL
    return fields_size(lane, origin, row)


cdef uint8_t *put_fields(uint8_t *out, const Lane *lane, const Origin *origin, int64_t row) noexcept nogil:
    """Copy a run of fields one by one."""
    cdef int64_t size
    cdef int32_t position
    cdef int column
    for column in range(lane.first, lane.last + 1):
        position = origin.positions[column * origin.stride + row]
        if position < 0:
            put32(out, 0xFFFFFFFF)
            out += 4
        else:
            size = 4 + <int64_t>get32(origin.data + position - 4)
            memcpy(out, origin.data + position - 4, size)
            out += size
    return out


# ---- one row after the other


cdef inline int64_t widest(const Lane *lane) noexcept nogil:
    """Bound the bytes of one field, length word included, without what its offsets say."""
    cdef int form = lane.form
    if form == Form.WIRE:
        return 0
    if form == Form.BOOL or form == Form.FIXED8 or form == Form.JSONB:
        return 5
    if form == Form.FIXED16:
        return 6
    if form == Form.FIXED32 or form == Form.DATE:
        return 8
    if form == Form.BYTES or form == Form.TEXT:
        return 4
    if form == Form.FIXED64 or form == Form.TIME or form == Form.TIMESTAMP:
        return 12
    if form == Form.DECIMAL128 or form == Form.DECIMAL256 or form == Form.DECIMAL128_CUT:
        return 12 + 2 * ((lane.shape.precision + 3) // 4 + 1)
    if form == Form.ENUM_INDEX:
        return 4 + <int64_t>lane.labels.longest
    if form == Form.LIST:
        return 24
    if form == Form.ND_LIST:
        return 64
    return 20


cdef inline uint8_t *put_value(
    uint8_t *out, const Lane *lane, const Origin *origin, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write one field; `room` is what values of no fixed length may take here. NULL for a fault."""
    cdef int form = lane.form
    cdef int64_t start, length
    cdef const uint8_t *source
    if lane.valid != NULL and not is_set(lane.valid, lane.valid_at + row):
        put32(out, 0xFFFFFFFF)
        return out + 4
    if form == Form.FIXED32:
        put64(out, (<uint64_t>4 << 32) | load32(lane.data + 4 * row))
        return out + 8
    elif form == Form.FIXED64:
        put32(out, 8)
        put64(out + 4, load64(lane.data + 8 * row))
        return out + 12
    elif form == Form.DECIMAL128:
        return put_short_decimal128(out, lane, lane.data, row, fault)
    elif form == Form.DATE:
        return put_date(out, <int32_t>load32(lane.data + 4 * row), fault)
    elif form == Form.TIMESTAMP:
        return put_timestamp(out, <int64_t>load64(lane.data + 8 * row), lane.unit, fault)
    elif form == Form.WIRE:
        row = source_row(origin, row)
        if row < 0:
            fault[0] = Fault.ROW_RANGE
            return NULL
        length = run_size(lane, origin, row, &source)
        if length > room:
            fault[0] = Fault.OFFSETS
            return NULL
        if source == NULL:
            return put_fields(out, lane, origin, row)
        return put_piece(out, source, length, origin.data + origin.size)
    elif form == Form.BOOL:
        put32(out, 1)
        out[4] = is_set(lane.data, lane.size + row)
        return out + 5
    elif form == Form.FIXED8:
        put32(out, 1)
        out[4] = lane.data[row]
        return out + 5
    elif form == Form.FIXED16:
        put32(out, 2)
        put16(out + 4, load16(lane.data + 2 * row))
        return out + 6
    elif form == Form.UUID:
        put32(out, 16)
        memcpy(out + 4, lane.data + 16 * row, 16)
        return out + 20
    elif form == Form.TIME:
        return put_time(out, <int64_t>load64(lane.data + 8 * row), lane.unit, fault)
    elif form >= Form.BITS:
        return lane.put(out, lane, row, room, fault)
    elif form >= Form.INTERVAL and form < Form.NUMERIC_TEXT:  # those with a kernel for values of one size
        return lane.kernel(out, lane, lane.data, row, fault)
    # Checked as a whole before; here again, because whoever made the buffers may still write to them.
    start = offset_at(lane, row)
    length = <int64_t>offset_at(lane, row + 1) - start
    if start < 0 or length < 0 or start + length > lane.size or length > room:
        fault[0] = Fault.OFFSETS
        return NULL
    source = lane.data + start
    if lane.kernel != NULL:
        return lane.kernel(out, lane, source, length, fault)
    elif form == Form.JSONB:
        put32(out, <uint32_t>(length + 1))
        out[4] = 1
        return put_piece(out + 5, source, length, lane.data + lane.size)
    put32(out, <uint32_t>length)
    return put_piece(out + 4, source, length, lane.data + lane.size)


cdef int64_t write_rows(
    uint8_t *out,
    int64_t size,
    int64_t row_bytes,
    const Lane *lanes,
    int count,
    int fields,
    const Origin *origin,
    int64_t rows,
    Trouble *trouble,
) noexcept nogil:
    """Write all rows; give the bytes used, or -1 with `trouble` told.

    `row_bytes` is what the fixed parts of one row can take; that much is always kept free for this one.
    """
    cdef uint8_t *at = out
    cdef const uint8_t *end = out + size - row_bytes
    cdef int64_t row
    cdef int i
    for row in range(rows):
        if at > end:
            trouble.fault = Fault.OFFSETS
            trouble.row = row
            return -1
        put16(at, <uint16_t>fields)
        at += 2
        for i in range(count):
            at = put_value(at, &lanes[i], origin, row, end - at, &trouble.fault)
            if at == NULL:
                trouble.lane = lanes[i].index
                trouble.row = row
                return -1
    return at - out


cdef int64_t check_lane(
    Lane *lane, const Origin *origin, int64_t rows, Trouble *trouble
) noexcept nogil:
    """Check one bound lane; give the bytes its values take beside `widest`, or -1 with `trouble` told."""
    cdef int form = lane.form
    cdef int64_t row, total = 0, longest = 0
    cdef const uint8_t *ignored
    trouble.lane = lane.index
    trouble.row = -1
    if form == Form.WIRE:
        if origin.once:
            return 0  # counted with the block, as a whole
        for row in range(rows):
            total += run_size(lane, origin, max(0, source_row(origin, row)), &ignored)
            if total > MAX_BYTES:
                trouble.fault = Fault.TOO_LARGE
                return -1
        return total
    if lane.required and lane.valid != NULL:
        trouble.row = first_null(lane.valid, lane.valid_at, rows)
        if trouble.row >= 0:
            trouble.fault = Fault.NULL_VALUE
            return -1
    if form >= Form.BITS:
        trouble.row = -1
        return check_tree(lane, rows, trouble)
    if lane.offsets == NULL:
        return 0
    total = check_offsets(lane, rows, &longest)
    if total < 0:
        trouble.fault = Fault.OFFSETS
        return -1
    if form == Form.TEXT or form == Form.JSONB:
        trouble.fault = check_texts(lane, rows, longest, &trouble.row)
        if trouble.fault:
            return -1
    # The text of a numeric is never shorter than half of its digits on the wire; a uuid has 20 bytes.
    return total


cdef int64_t wire_null(int column, const Origin *origin, int64_t rows) noexcept nogil:
    """Find the first output row that would copy a NULL of a source column, or -1."""
    cdef const int32_t *positions = origin.positions + column * origin.stride
    cdef int64_t row
    for row in range(rows):
        if positions[max(0, source_row(origin, row))] < 0:
            return row
    return -1


# ---- what Python sees


cdef int set_lane(Lane *lane, dict values) except -1:
    """Take what the target wants."""
    lane.form = values["form"]
    lane.kernel = kernel_of(lane.form)
    lane.put = put_of(lane.form)
    lane.column = values["column"]
    lane.required = values.get("required", False)
    lane.limit = values.get("limit", -1)
    lane.in_bytes = values.get("in_bytes", False)
    lane.exact = values.get("exact", False)
    lane.unit = values.get("unit", 1)
    lane.months = values.get("months", 1)
    lane.days = values.get("days", True)
    lane.first = values.get("first", 0)
    lane.last = values.get("last", 0)
    lane.oid = values.get("oid", 0)
    lane.first_kid = values.get("first_kid", 0)
    lane.kid_count = values.get("kids", 0)
    lane.shape.precision = values.get("precision", 0)
    lane.shape.scale = values.get("scale", 0)
    lane.shape.dscale = values.get("dscale", -1)
    lane.shape.base = values.get("base", 0)
    lane.shape.pad = values.get("pad", 1)
    lane.shape.small = values.get("small", 0)
    lane.shape.cut = values.get("cut", 1)
    return 0


@cython.final
cdef class RowWriter:
    """The native encoder of one stream: `fields` columns, taken as `lanes` say; see encoder.py.

    The first `top` lanes are output columns, the others stand within one before them. Each is a dict with the
    keys `form` and `column` (index of the output column) and, where they matter, `required`, `limit`,
    `in_bytes`, `exact`, `unit`, `months`, `days`, `precision`, `scale`, `dscale`, `base`, `pad`, `small`,
    `cut`, `first`, `last`, `oid`, `labels`, and `first_kid` and `kids`, which say where those within it are.
    `seed` makes hashes that nobody can foresee. Several threads may write at once.
    """

    cdef Lane *lanes
    cdef int count
    cdef int top
    cdef int fields
    cdef int64_t reserve  # what write_rows keeps free for the items of lists beside row_bytes
    cdef list required  # (output column, source column) of wire columns that may not be NULL
    cdef bint disjoint  # no source column is copied to two output columns
    cdef object buffers

    def __cinit__(self, fields, top, lanes, required, uint64_t seed):
        cdef Lane *lane
        cdef int i, k
        if len(lanes) > MAX_LANES:
            raise ValueError("too many parts of columns")
        self.top = top
        self.fields = fields
        self.required = list(required)
        self.buffers = Buffers()
        runs = sorted((values["first"], values["last"]) for values in lanes if values["form"] == Form.WIRE)
        self.disjoint = all(one[1] < other[0] for one, other in zip(runs, runs[1:]))
        self.lanes = <Lane *>calloc(max(1, len(lanes)), sizeof(Lane))
        if self.lanes == NULL:
            raise MemoryError
        self.count = len(lanes)
        for i in range(self.count - 1, -1, -1):  # kids before those that they stand in
            lane = &self.lanes[i]
            set_lane(lane, lanes[i])
            lane.index = i
            lane.seed = seed
            if lane.form == Form.ENUM or lane.form == Form.ENUM_INDEX:
                lane.labels = make_texts(lanes[i]["labels"])
            if lane.kid_count and not i < lane.first_kid <= self.count - lane.kid_count:
                raise ValueError("lanes stand before those within them")
            lane.kids = self.lanes + lane.first_kid
            lane.fixed = fixed_bytes(lane, widest(lane))
            if is_listed(lane.form):
                for k in range(lane.kid_count):
                    self.reserve += lane.kids[k].fixed

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            free(self.lanes[i].labels)
        free(self.lanes)

    def write(
        self,
        arrays,
        int64_t rows,
        const uint8_t[::1] data,
        positions,
        int64_t stride,
        int64_t block_rows,
        ids,
    ):
        """Give the rows as a bytearray, or (fault, column, lane, row) where something does not fit.

        The bytearray is used again when nothing refers to it any more.

        `data` is the block's, from its first row on; positions, stride and block_rows are the block's too.
        `ids` is an Int32Array. `column`, `lane` and `row` are -1 where no single one is to blame.
        """
        cdef Lane *lanes
        cdef Lane *lane
        cdef Origin origin
        cdef Trouble trouble
        cdef int64_t size, row_bytes = 2, total = 0, used
        cdef int i, column
        cdef uint8_t *start
        cdef object out
        origin.data = NULL
        origin.size = 0
        origin.once = ids is None and self.disjoint
        origin.positions = NULL
        origin.stride = stride
        origin.rows = block_rows
        origin.ids = NULL
        if data is not None:
            origin.data = &data[0] if data.shape[0] else NULL
            origin.size = data.shape[0]
            origin.positions = <const int32_t *>memory(positions, &size)
            if stride < block_rows or (rows and size < 4 * stride * self.source_columns()):
                return Fault.BUFFER, -1, -1, -1
        trouble.fault = Fault.NONE
        trouble.lane = -1
        trouble.row = -1
        lanes = <Lane *>malloc(max(1, self.count) * sizeof(Lane))
        if lanes == NULL:
            raise MemoryError
        try:
            memcpy(lanes, self.lanes, self.count * sizeof(Lane))
            for i in range(self.count):
                lanes[i].kids = lanes + lanes[i].first_kid
            if ids is not None:
                trouble.fault = bind_ids(&origin, ids, rows, self.disjoint, &trouble.row)
            elif rows < 0 or (data is not None and rows > block_rows):
                trouble.fault = Fault.LENGTH
            if trouble.fault:
                return trouble.fault, -1, -1, trouble.row
            for i in range(self.top):
                lane = &lanes[i]
                if lane.form != Form.WIRE:
                    trouble.fault = bind(lane, arrays[lane.column], rows)
                    if trouble.fault:
                        return trouble.fault % Fault.PLACE, lane.column, trouble.fault // Fault.PLACE, -1
                row_bytes += lane.fixed
            if rows == 0:
                return bytearray()
            for target, source in self.required:
                column = source
                used = wire_null(column, &origin, rows)
                if used >= 0:
                    return Fault.NULL_VALUE, target, -1, used
            if origin.once:
                total = origin.size  # no byte of the block is copied twice: no need to walk its rows for this
            with nogil:
                for i in range(self.top):
                    used = check_lane(&lanes[i], &origin, rows, &trouble)
                    if used < 0:
                        break
                    total += used
                    if total > MAX_BYTES:
                        break
            if trouble.fault:
                return trouble.fault, self.column_of(trouble.lane), trouble.lane, trouble.row
            # One row's fixed parts more, which write_rows keeps free; rows are bounded before they multiply.
            if total > MAX_BYTES or rows > MAX_BYTES // row_bytes:
                return Fault.TOO_LARGE, -1, -1, -1
            size = total + (rows + 1) * row_bytes + self.reserve
            if size > MAX_BYTES:
                return Fault.TOO_LARGE, -1, -1, -1
            out = self.buffers.take()
            PyByteArray_Resize(out, size + SLACK)
            start = <uint8_t *>PyByteArray_AS_STRING(out)
            with nogil:
                used = write_rows(
                    start,
                    size,
                    row_bytes,
                    lanes,
                    self.top,
                    self.fields,
                    &origin,
                    rows,
                    &trouble,
                )
            if used < 0:
                if trouble.fault >= Fault.PLACE:  # within a value: that lane, not the column's
                    trouble.lane = trouble.fault // Fault.PLACE
                    trouble.fault %= Fault.PLACE
                if trouble.fault == Fault.MEMORY:
                    raise MemoryError
                return trouble.fault, self.column_of(trouble.lane), trouble.lane, trouble.row
            PyByteArray_Resize(out, used)
            return out
        finally:
            for i in range(self.count):
                free(lanes[i].found)
                free(lanes[i].bits)
            free(lanes)

    cdef int column_of(self, int lane) noexcept:
        return self.lanes[lane].column if lane >= 0 else -1

    cdef int64_t source_columns(self) noexcept:
        """Count the source columns that wire lanes reach."""
        cdef int64_t most = 0
        cdef int i
        for i in range(self.top):
            if self.lanes[i].form == Form.WIRE:
                most = max(most, self.lanes[i].last + 1)
        return most

def scan(
    data: bytes | bytearray,
    start: int,
    end: int,
    columns: int,
    max_rows: int,
    max_row_bytes: int,
    positions: int,
    stride: int,
    lengths: bytearray | None = None,
) -> tuple[int, int, int, int, int]:
    """Take whole rows from data[start:end], and store where their fields are.

    `positions` is the address of `columns` x `stride` int32 (or 0: store nothing), `stride` >= `max_rows`:
    positions[c * stride + r] becomes the offset from `start` of the data of field c in row r, -1 for NULL;
    the length word stands in the four bytes before. `lengths`, of 4 * `columns` bytes, gets an int32 for each
    column: the length that all of its fields have, -1 if one of them is NULL, -3 if none is and they vary (a
    row that was not taken whole counts, too).

    Returns (status, rows, stop, detail, field): a framing.Scan, how many rows were taken, the offset in
    `data` where the next one starts, and, where something is wrong or missing, its number and its field
    (from 0). `detail` is, by status: MORE the offset in `data` up to which bytes are missing; BAD_COUNT the
    field count; BAD_LENGTH the length. ValueError when the arguments do not fit each other.
    """

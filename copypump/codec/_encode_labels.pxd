"""Labels that a dictionary gives, and the keys of one hstore.

Hashes of keys are seeded, so that nobody can make keys that all fall into one slot.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from copypump.codec._encode cimport Fault, Lane, copy_over, get32, load32, put32
from copypump.codec._encode_checks cimport read_span
from copypump.codec._texts cimport Slot, find_text, hash_of, is_same


cdef enum:
    FEW_KEYS = 6      # so many are compared each with each
    SOME_KEYS = 32    # so many find room on the stack


cdef inline uint32_t find_entry(const Lane *lane, int64_t entry, int *fault) noexcept nogil:
    """Find an entry of the dictionary among the labels; give its slot + 1, which is kept, or 0."""
    cdef int64_t start, length
    cdef const Slot *slot
    if not read_span(lane, entry, &start, &length):
        fault[0] = Fault.OFFSETS
        return 0
    slot = find_text(lane.labels, lane.data + start, length, lane.data + lane.size)
    if slot == NULL:
        fault[0] = Fault.LABEL
        return 0
    lane.found[entry] = <uint32_t>(slot - lane.labels.slots) + 1
    return lane.found[entry]


cdef inline uint8_t *put_indexed_label(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write the label that an index leads to: its own bytes, not the dictionary's, which may change.

    Entries are compared with the labels as they are met: those that nobody uses may be anything.
    """
    cdef uint32_t entry = load32(lane.part[0] + 4 * row), found  # negative ones are large as unsigned
    cdef const Slot *slot
    if entry >= lane.entries:
        fault[0] = Fault.INDEX
        return NULL
    found = lane.found[entry]
    if found == 0:
        found = find_entry(lane, entry, fault)
        if found == 0:
            return NULL
    slot = &lane.labels.slots[found - 1]
    put32(out, slot.length)
    copy_over(out + 4, lane.labels.data + slot.offset, slot.length)
    return out + 4 + slot.length


cdef inline const uint8_t *next_key(const uint8_t *key) noexcept nogil:
    """Give the length word of the key behind this one, in the pairs of an hstore as they were written."""
    key += 4 + <int64_t>get32(key)
    if <int32_t>get32(key) >= 0:  # not NULL
        key += get32(key)
    return key + 4


cdef inline bint same_key(const uint8_t *one, const uint8_t *other) noexcept nogil:
    return load32(one) == load32(other) and is_same(one + 4, other + 4, get32(one))


cdef inline int keys_fault(const uint8_t *pairs, int64_t count, uint64_t seed) noexcept nogil:
    """Check that no key stands twice among the pairs of an hstore as they were written."""
    cdef const uint8_t *some[2 * SOME_KEYS]
    cdef const uint8_t **slots = some
    cdef uint64_t mask = 2 * SOME_KEYS - 1, slot
    cdef int64_t i, k
    cdef int fault = Fault.NONE
    if count <= FEW_KEYS:
        for i in range(count):
            for k in range(i):
                if same_key(some[k], pairs):
                    return Fault.KEY_TWICE
            some[i] = pairs
            pairs = next_key(pairs)
        return Fault.NONE
    if count <= SOME_KEYS:
        memset(some, 0, sizeof(some))
    else:
        while mask < <uint64_t>(2 * count):
            mask = 2 * mask + 1
        slots = <const uint8_t **>calloc(mask + 1, sizeof(uint8_t *))
        if slots == NULL:
            return Fault.MEMORY
    for _ in range(count):
        slot = hash_of(pairs + 4, get32(pairs), seed) & mask
        while slots[slot] != NULL and not same_key(slots[slot], pairs):
            slot = (slot + 1) & mask
        if slots[slot] != NULL:
            fault = Fault.KEY_TWICE
            break
        slots[slot] = pairs
        pairs = next_key(pairs)
    if slots != some:
        free(slots)
    return fault

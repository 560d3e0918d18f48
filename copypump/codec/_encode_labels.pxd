"""Sets of byte strings: an enum's labels, kept for the stream, and the keys of one hstore, for a moment.

Hashes are seeded, so that nobody can make keys that all fall into one slot.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from copypump.codec._encode cimport Fault, Labels, Lane, get32, load64, put32


cdef enum:
    MAX_LABEL = 63    # NAMEDATALEN - 1 of PostgreSQL's pg_config_manual.h
    FEW_KEYS = 12     # so many are compared each with each


cdef inline uint64_t hash_of(const uint8_t *text, int64_t n, uint64_t seed) noexcept nogil:
    cdef uint64_t word, state = seed ^ <uint64_t>n
    while n > 0:
        word = 0
        if n >= 8:
            word = load64(text)
        else:
            memcpy(&word, text, n)
        state = (state ^ word) * 0x9E3779B97F4A7C15ULL
        state ^= state >> 29
        text += 8
        n -= 8
    state *= 0xBF58476D1CE4E5B9ULL
    return state ^ (state >> 32)


cdef inline bint is_label(const Labels *labels, const uint8_t *text, int64_t n) noexcept nogil:
    cdef uint32_t slot = <uint32_t>hash_of(text, n, labels.seed) & labels.mask
    while labels.slots[2 * slot + 1]:
        if labels.slots[2 * slot + 1] == n + 1 and memcmp(labels.data + labels.slots[2 * slot], text, n) == 0:
            return True
        slot = (slot + 1) & labels.mask
    return False


cdef inline Labels *make_labels(list texts, uint64_t seed) except NULL:
    """Make a set, in one block for free(); at most half of its slots are taken."""
    cdef uint32_t slots = 2, slot, offset = 0
    cdef const uint8_t *text
    cdef int64_t n, total = sum(map(len, texts))
    cdef Labels *labels
    if total > 0x7FFFFFFF or len(texts) > 0x1FFFFFFF:
        raise ValueError("too many labels")
    while slots < 2 * <uint32_t>len(texts):
        slots *= 2
    labels = <Labels *>calloc(1, sizeof(Labels) + 8 * <size_t>slots + total)
    if labels == NULL:
        raise MemoryError
    labels.seed = seed
    labels.mask = slots - 1
    labels.slots = <uint32_t *>(labels + 1)
    labels.data = <uint8_t *>(labels.slots + 2 * <size_t>slots)
    for label in texts:
        text = label
        n = len(label)
        slot = <uint32_t>hash_of(text, n, seed) & labels.mask
        while labels.slots[2 * slot + 1]:
            slot = (slot + 1) & labels.mask
        memcpy(labels.data + offset, text, n)
        labels.slots[2 * slot] = offset
        labels.slots[2 * slot + 1] = <uint32_t>n + 1
        offset += <uint32_t>n
    return labels


cdef inline uint8_t *put_label(
    uint8_t *out, const Lane *lane, const uint8_t *text, int64_t n, int *fault
) noexcept nogil:
    """Write a text that is one of the lane's labels. What was written is what is compared."""
    if n <= MAX_LABEL:
        put32(out, <uint32_t>n)
        memcpy(out + 4, text, n)
        if is_label(lane.labels, out + 4, n):
            return out + 4 + n
    fault[0] = Fault.LABEL
    return NULL


cdef inline const uint8_t *next_key(const uint8_t *key) noexcept nogil:
    """Give the length word of the key behind this one, in the pairs of an hstore as they were written."""
    key += 4 + <int64_t>get32(key)
    if <int32_t>get32(key) >= 0:  # not NULL
        key += get32(key)
    return key + 4


cdef inline bint same_key(const uint8_t *one, const uint8_t *other) noexcept nogil:
    return memcmp(one, other, 4) == 0 and memcmp(one + 4, other + 4, get32(one)) == 0


cdef inline int keys_fault(const uint8_t *pairs, int64_t count, uint64_t seed) noexcept nogil:
    """Check that no key stands twice among the pairs of an hstore as they were written."""
    cdef const uint8_t *keys[FEW_KEYS]
    cdef const uint8_t **slots
    cdef uint64_t mask = 31, slot
    cdef int64_t i, k
    if count <= FEW_KEYS:
        for i in range(count):
            for k in range(i):
                if same_key(keys[k], pairs):
                    return Fault.KEY_TWICE
            keys[i] = pairs
            pairs = next_key(pairs)
        return Fault.NONE
    while mask < <uint64_t>(2 * count):
        mask = 2 * mask + 1
    slots = <const uint8_t **>calloc(mask + 1, sizeof(uint8_t *))
    if slots == NULL:
        return Fault.MEMORY
    for i in range(count):
        slot = hash_of(pairs + 4, get32(pairs), seed) & mask
        while slots[slot] != NULL:
            if same_key(slots[slot], pairs):
                free(slots)
                return Fault.KEY_TWICE
            slot = (slot + 1) & mask
        slots[slot] = pairs
        pairs = next_key(pairs)
    free(slots)
    return Fault.NONE

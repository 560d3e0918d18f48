"""Sets of byte strings: an enum's labels, kept for the stream, and the keys of one hstore, for a moment.

Hashes are seeded, so that nobody can make keys that all fall into one slot.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from copypump.codec._encode cimport Fault, Labels, get32, load32, load64


cdef enum:
    FEW_KEYS = 6      # so many are compared each with each
    SOME_KEYS = 32    # so many find room on the stack
    PADDING = 16      # behind each label: what word_at reads beyond it


cdef inline uint64_t word_at(const uint8_t *text, int64_t n) noexcept nogil:
    """Give 8 bytes, zeros behind the first n; reads all 8: the output has room, and labels are padded.

    There is no branch, because lengths are what no processor foresees.
    """
    cdef int64_t bits = 8 * min(max(n, 0), 8)
    return load64(text) & (((<uint64_t>1 << (bits & 63)) - 1) | (0 - <uint64_t>(bits >> 6)))


cdef inline bint is_same(const uint8_t *one, const uint8_t *other, int64_t n) noexcept nogil:
    cdef uint64_t differs
    while True:
        differs = word_at(one, n) ^ word_at(other, n) | word_at(one + 8, n - 8) ^ word_at(other + 8, n - 8)
        n -= 16
        if differs or n <= 0:
            return differs == 0
        one += 16
        other += 16


cdef inline uint64_t hash_of(const uint8_t *text, int64_t n, uint64_t seed) noexcept nogil:
    cdef uint64_t state = seed ^ <uint64_t>n
    while True:
        state = (state ^ word_at(text, n)) * 0x9E3779B97F4A7C15ULL
        state ^= state >> 29
        state = (state ^ word_at(text + 8, n - 8)) * 0xBF58476D1CE4E5B9ULL
        state ^= state >> 32
        n -= 16
        if n <= 0:
            return state
        text += 16


cdef inline bint is_label(const Labels *labels, const uint8_t *text, int64_t n) noexcept nogil:
    cdef uint32_t slot = <uint32_t>hash_of(text, n, labels.seed) & labels.mask
    while labels.slots[2 * slot + 1]:
        if labels.slots[2 * slot + 1] == n + 1 and is_same(labels.data + labels.slots[2 * slot], text, n):
            return True
        slot = (slot + 1) & labels.mask
    return False


cdef inline Labels *make_labels(list texts, uint64_t seed) except NULL:
    """Make a set, in one block for free(); at most a quarter of its slots are taken."""
    cdef uint32_t slots = 2, slot, offset = 0
    cdef const uint8_t *text
    cdef int64_t n, total = sum(map(len, texts)) + PADDING * len(texts)
    cdef Labels *labels
    if total > 0x7FFFFFFF or len(texts) > 0x0FFFFFFF:
        raise ValueError("too many labels")
    while slots < 4 * <uint32_t>len(texts):
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
        memcpy(labels.data + offset, text, n)
        slot = <uint32_t>hash_of(labels.data + offset, n, seed) & labels.mask
        while labels.slots[2 * slot + 1]:
            slot = (slot + 1) & labels.mask
        labels.slots[2 * slot] = offset
        labels.slots[2 * slot + 1] = <uint32_t>n + 1
        offset += <uint32_t>n + PADDING
    return labels


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

"""Sets of short texts, found by hashing: an enum's labels in both directions, and what an hstore's keys need.

Texts are read in words of 8 bytes, masked to their length; a text of up to 16 bytes is two words, which its
slot has. Whoever looks one up says where the memory around it ends.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memcmp, memcpy


cdef extern from "_encode.h":
    uint64_t word_of "cp_load64" (const uint8_t *p) noexcept nogil
    void load_head "cp_load_head" (const uint8_t *p, int64_t n, uint64_t *words) noexcept nogil


cdef enum:
    PADDING = 16  # behind each text of a set, and behind one that is looked up: what is read beyond it
    HEAD = 16
    SEEDS = 64    # so many are tried, to have each of as many texts at most in a slot of its own


# A text: its first bytes, its place in the list that a set was made of (-1: the slot is free), its length,
# and where it is in `data`.
ctypedef struct Slot:
    uint64_t head[2]
    int32_t place
    uint32_t length
    uint32_t offset


# One block of memory: `mask + 1` slots, a power of two, then the texts.
ctypedef struct TextSet:
    uint64_t seed
    uint32_t mask
    uint32_t longest            # bytes of a text at most
    Slot *slots
    uint8_t *data


cdef inline uint64_t word_at(const uint8_t *text, int64_t n) noexcept nogil:
    """Give 8 bytes, zeros behind the first n; reads all 8. There is no branch."""
    cdef int64_t bits = 8 * min(max(n, 0), 8)
    return word_of(text) & (((<uint64_t>1 << (bits & 63)) - 1) | (0 - <uint64_t>(bits >> 6)))


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


cdef inline uint32_t slot_of(
    const TextSet *texts, const uint64_t *head, const uint8_t *text, int64_t n
) noexcept nogil:
    """Give the slot where a text is looked for first."""
    cdef uint64_t state = (head[0] ^ texts.seed ^ <uint64_t>n) * 0x9E3779B97F4A7C15ULL
    state = (state ^ (state >> 32) ^ head[1]) * 0xBF58476D1CE4E5B9ULL
    if n > HEAD:
        state = hash_of(text + HEAD, n - HEAD, state)
    return <uint32_t>(state >> 32) & texts.mask


cdef inline const Slot *find_text(
    const TextSet *texts, const uint8_t *text, int64_t n, const uint8_t *end
) noexcept nogil:
    """Find a text; NULL: it is none of the set. Nothing is read from `end` on."""
    cdef const Slot *slot
    cdef uint64_t head[2]
    cdef uint32_t at
    if <uint64_t>n > texts.longest:
        return NULL
    if end - text < n + PADDING:
        return find_last_text(texts, text, n)
    load_head(text, n, head)
    at = slot_of(texts, head, text, n)
    while True:
        slot = &texts.slots[at]
        if slot.place < 0:
            return NULL
        if (
            ((slot.head[0] ^ head[0]) | (slot.head[1] ^ head[1]) | (slot.length ^ <uint64_t>n)) == 0
            and (n <= HEAD or is_same(texts.data + slot.offset + HEAD, text + HEAD, n - HEAD))
        ):
            return slot
        at = (at + 1) & texts.mask


cdef inline const Slot *find_last_text(const TextSet *texts, const uint8_t *text, int64_t n) noexcept nogil:
    """Find a text that has nothing behind it: the last one of a block."""
    cdef const Slot *slot
    cdef uint32_t at
    for at in range(texts.mask + 1):
        slot = &texts.slots[at]
        if slot.place >= 0 and slot.length == n and memcmp(texts.data + slot.offset, text, n) == 0:
            return slot
    return NULL


cdef inline bint set_slot(TextSet *texts, int32_t place, uint32_t offset, uint32_t n) noexcept nogil:
    """Give a text a slot; whether it is the one where it is looked for first."""
    cdef uint64_t head[2]
    cdef uint32_t at, first
    load_head(texts.data + offset, n, head)
    at = first = slot_of(texts, head, texts.data + offset, n)
    while texts.slots[at].place >= 0:
        at = (at + 1) & texts.mask
    texts.slots[at].head[0] = head[0]
    texts.slots[at].head[1] = head[1]
    texts.slots[at].place = place
    texts.slots[at].length = n
    texts.slots[at].offset = offset
    return at == first


cdef inline TextSet *make_texts(list texts) except NULL:
    """Make a set of bytes objects, in one block for free(); at most a quarter of its slots are taken."""
    cdef uint32_t slots = 2, at, offset
    cdef const uint8_t *text
    cdef int32_t place
    cdef int64_t n, total = sum(map(len, texts)) + PADDING * (len(texts) + 1)
    cdef bint apart
    cdef TextSet *made
    if total > 0x7FFFFFFF or len(texts) > 0x0FFFFFFF:
        raise ValueError("too many labels")
    while slots < 4 * <uint32_t>len(texts):
        slots *= 2
    made = <TextSet *>calloc(1, sizeof(TextSet) + sizeof(Slot) * <size_t>slots + total)
    if made == NULL:
        raise MemoryError
    made.mask = slots - 1
    made.slots = <Slot *>(made + 1)
    made.data = <uint8_t *>(made.slots + slots)
    for _ in range(SEEDS if len(texts) <= SEEDS else 1):
        made.seed += 0x632BE59BD9B4E019ULL
        for at in range(slots):
            made.slots[at].place = -1
        apart = True
        offset = 0
        for place, label in enumerate(texts):
            text = label
            n = len(label)
            memcpy(made.data + offset, text, n)
            made.longest = max(made.longest, <uint32_t>n)
            apart &= set_slot(made, place, offset, <uint32_t>n)
            offset += <uint32_t>n + PADDING
        if apart:
            break
    return made

/* What Cython has no words for: unaligned loads, big-endian stores, bit counts and a 128-bit division. */
#ifndef COPYPUMP_ENCODE_H
#define COPYPUMP_ENCODE_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define CP_BE16(v) (v)
#define CP_BE32(v) (v)
#define CP_BE64(v) (v)
#else
#define CP_BE16(v) __builtin_bswap16(v)
#define CP_BE32(v) __builtin_bswap32(v)
#define CP_BE64(v) __builtin_bswap64(v)
#endif

static inline uint16_t cp_load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t cp_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t cp_load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

static inline void cp_put16(uint8_t *p, uint16_t v) { v = CP_BE16(v); memcpy(p, &v, 2); }
static inline void cp_put32(uint8_t *p, uint32_t v) { v = CP_BE32(v); memcpy(p, &v, 4); }
static inline void cp_put64(uint8_t *p, uint64_t v) { v = CP_BE64(v); memcpy(p, &v, 8); }

static inline uint32_t cp_get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return CP_BE32(v); }

/* From 1970 (Arrow) to 2000 (PostgreSQL), and the first timestamp, MIN_TIMESTAMP of datatype/timestamp.h, as
 * Arrow counts it. Its end, END_TIMESTAMP, is beyond what Arrow's int64 reaches. */
#define CP_EPOCH_MICROSECONDS INT64_C(946684800000000)
#define CP_FIRST_MICROSECOND (INT64_C(-211813488000000000) + CP_EPOCH_MICROSECONDS)
#define CP_DAY_MICROSECONDS INT64_C(86400000000)

/* Of a word that is not zero. */
static inline int cp_leading_zeros(uint64_t v) { return __builtin_clzll(v); }
static inline int cp_trailing_zeros(uint64_t v) { return __builtin_ctzll(v); }

/* Copy n bytes of at most 64 in steps of 32, so that few lengths make a difference for the processor: reads and
 * writes 32 or 64, which the caller has checked. */
static inline void cp_copy_short(uint8_t *to, const uint8_t *from, int64_t n) {
    memcpy(to, from, 32);
    if (n > 32) memcpy(to + 32, from + 32, 32);
}

/* Copy n > 0 bytes in steps of 16: reads and writes up to 15 beyond them, which the caller has checked. */
static inline void cp_copy_over(uint8_t *to, const uint8_t *from, int64_t n) {
    do {
        uint64_t a, b;
        memcpy(&a, from, 8);
        memcpy(&b, from + 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + 8, &b, 8);
        to += 16;
        from += 16;
        n -= 16;
    } while (n > 0);
}

/* Divide rest * 2**64 + limb by 10**16, where rest < 10**16; leaves the remainder in rest. */
static inline uint64_t cp_divide_chunk(uint64_t *rest, uint64_t limb) {
    const uint64_t chunk = 10000000000000000ULL;
    unsigned __int128 value = ((unsigned __int128)*rest << 64) | limb;
    uint64_t quotient = (uint64_t)(value / chunk);
    *rest = limb - quotient * chunk;
    return quotient;
}

/* Divide rest * 2**64 + limb by divisor, where rest < divisor; leaves the remainder in rest. */
static inline uint64_t cp_divide(uint64_t *rest, uint64_t limb, uint64_t divisor) {
    unsigned __int128 value = ((unsigned __int128)*rest << 64) | limb;
    uint64_t quotient = (uint64_t)(value / divisor);
    *rest = limb - quotient * divisor;
    return quotient;
}

/* limb * factor + carry: gives the low word and leaves the high one in carry. */
static inline uint64_t cp_multiply(uint64_t limb, uint64_t factor, uint64_t *carry) {
    unsigned __int128 value = (unsigned __int128)limb * factor + *carry;
    *carry = (uint64_t)(value >> 64);
    return (uint64_t)value;
}

/* Whether n bytes are ASCII without NUL; a loop that the compiler turns into vector instructions. */
static inline int cp_is_plain(const uint8_t *p, int64_t n) {
    uint8_t seen = 0;
    int64_t i = 0;
    for (; i + 256 <= n; i += 256) {
        for (int k = 0; k < 256; k++) seen |= (uint8_t)(p[i + k] - 1) | p[i + k];
        if (seen & 0x80) return 0;
    }
    for (; i < n; i++) seen |= (uint8_t)(p[i] - 1) | p[i];
    return !(seen & 0x80);
}

/* Read 16 bytes as two words, zeros behind the first n of them. There is no branch: lengths are what no
 * processor foresees, and a call of memcmp for each took 4 ns more. */
static inline void cp_load_head(const uint8_t *p, int64_t n, uint64_t *words) {
    static const uint64_t masks[4] = {~UINT64_C(0), ~UINT64_C(0), 0, 0};
    uint64_t mask[2];
    memcpy(mask, (const uint8_t *)masks + 16 - (n < 16 ? n : 16), 16);
    memcpy(words, p, 16);
    words[0] &= mask[0];
    words[1] &= mask[1];
}

#endif

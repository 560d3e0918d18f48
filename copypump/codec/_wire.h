/* Big-endian loads of the wire; memcpy because a field may stand at any address. */

#ifndef COPYPUMP_WIRE_H
#define COPYPUMP_WIRE_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "Arrow buffers are filled for little-endian machines only"
#endif

static inline uint16_t load16(const uint8_t *at) {
    uint16_t word;
    memcpy(&word, at, 2);
    return __builtin_bswap16(word);
}

static inline uint32_t load32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, 4);
    return __builtin_bswap32(word);
}

static inline uint64_t load64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return __builtin_bswap64(word);
}

#endif

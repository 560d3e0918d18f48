/* What gcc's -fsanitize-coverage=trace-pc calls at each branch: counts the steps that were never seen before.

   Built and preloaded by sanitize.py; coverage.py reads the count. */

#include <stdint.h>

enum { SLOTS = 1 << 18 };

static uint8_t seen[SLOTS];
static uint32_t fresh;
static uintptr_t last;

void __sanitizer_cov_trace_pc(void) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uint8_t *slot = &seen[((here ^ (last << 5)) * UINT64_C(0x9E3779B97F4A7C15)) >> 46];
    last = here;
    fresh += *slot == 0;
    *slot = 1;
}

uint32_t copypump_fresh_steps(void) {
    uint32_t count = fresh;
    fresh = 0;
    last = 0;
    return count;
}

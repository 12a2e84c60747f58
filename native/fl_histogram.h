/* The log-linear histogram of layout.py: the bucket is the top bits of the value's float64 form. */
#ifndef FL_HISTOGRAM_H
#define FL_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

#include "fl_layout.h"

static inline uint32_t fl_histogram_index(uint64_t value) {
    if (value == 0) return 0;
    double d = (double)value;
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    uint64_t index = 1 + (bits >> (52 - FL_HISTOGRAM_SUB_BITS)) - (UINT64_C(1023) << FL_HISTOGRAM_SUB_BITS);
    return index < FL_HISTOGRAM_BUCKETS ? (uint32_t)index : FL_HISTOGRAM_BUCKETS - 1u;
}

/* One writer; a reader in another process sees each count whole (aligned 64-bit store) and at worst a little old. */
static inline void fl_histogram_add(uint64_t *counts, uint64_t value) { counts[fl_histogram_index(value)]++; }

#endif

/* An exact linear histogram of durations: 1 us bins below 4 s, 1 ms bins to 1 h, everything longer in the last bin.
 *
 * Owns its bins and nothing else; knows neither clocks nor streams. Invariant: the sum of all bins equals `count`, and a bin
 * that is not in a touched block is 0. The arrays are large but calloc'ed: a page costs memory only once a value falls into it. */
#ifndef FL_LINEAR_H
#define FL_LINEAR_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FL_LINEAR_FINE_BINS 4000000u                          /* 1 us each */
#define FL_LINEAR_BINS (FL_LINEAR_FINE_BINS + 3596000u)       /* then 1 ms each, up to 3,600 s */
#define FL_LINEAR_BLOCK 512u                                  /* bins per block: one 4 kB page of 64-bit counts */
#define FL_LINEAR_BLOCKS ((FL_LINEAR_BINS + FL_LINEAR_BLOCK - 1) / FL_LINEAR_BLOCK)

typedef struct fl_linear {
    uint64_t *bins;
    uint8_t *touched; /* one flag per block, so that reading and clearing skip what was never written */
    uint64_t count, sum_ns, max_ns;
} fl_linear;

static inline bool fl_linear_init(fl_linear *h) {
    *h = (fl_linear){0};
    h->bins = calloc((size_t)FL_LINEAR_BLOCKS * FL_LINEAR_BLOCK, sizeof *h->bins);
    h->touched = calloc(FL_LINEAR_BLOCKS, 1);
    return h->bins != NULL && h->touched != NULL;
}

static inline void fl_linear_free(fl_linear *h) {
    free(h->bins);
    free(h->touched);
    *h = (fl_linear){0};
}

static inline uint32_t fl_linear_bin(uint64_t value_ns) {
    uint64_t us = value_ns / 1000u;
    if (us < FL_LINEAR_FINE_BINS) return (uint32_t)us;
    uint64_t bin = FL_LINEAR_FINE_BINS + (us - FL_LINEAR_FINE_BINS) / 1000u;
    return bin < FL_LINEAR_BINS ? (uint32_t)bin : FL_LINEAR_BINS - 1;
}

static inline void fl_linear_add(fl_linear *h, uint64_t value_ns) {
    uint32_t bin = fl_linear_bin(value_ns);
    assert(bin < FL_LINEAR_BINS);
    h->touched[bin / FL_LINEAR_BLOCK] = 1;
    h->bins[bin]++;
    h->count++;
    h->sum_ns += value_ns;
    if (value_ns > h->max_ns) h->max_ns = value_ns;
}

/* Write (bin, count) pairs of the occupied bins in rising order to `pairs`, at most `room` of them; return how many there are. */
static inline size_t fl_linear_occupied(const fl_linear *h, uint64_t *pairs, size_t room) {
    size_t found = 0;
    for (uint32_t block = 0; block < FL_LINEAR_BLOCKS; block++) {
        if (!h->touched[block]) continue;
        for (uint32_t bin = block * FL_LINEAR_BLOCK; bin < (block + 1) * FL_LINEAR_BLOCK; bin++) {
            if (h->bins[bin] == 0) continue;
            if (found < room) {
                pairs[2 * found] = bin;
                pairs[2 * found + 1] = h->bins[bin];
            }
            found++;
        }
    }
    return found;
}

static inline void fl_linear_clear(fl_linear *h) {
    for (uint32_t block = 0; block < FL_LINEAR_BLOCKS; block++) {
        if (h->touched[block]) memset(h->bins + (size_t)block * FL_LINEAR_BLOCK, 0, FL_LINEAR_BLOCK * sizeof *h->bins);
        h->touched[block] = 0;
    }
    h->count = h->sum_ns = h->max_ns = 0;
}

#endif

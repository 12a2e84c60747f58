/* One worker's block of shared memory, see fl_layout.h: where its parts lie, and the worker's end of them. */
#ifndef FL_SHARED_H
#define FL_SHARED_H

#include "fl_histogram.h"
#include "fl_layout.h"
#include "fl_ring.h"

typedef struct fl_shared_offsets {
    uint64_t counters, tokens, records, histograms[FL_SHARED_HISTOGRAMS], total;
} fl_shared_offsets;

static inline uint64_t fl_page_up(uint64_t bytes) { return (bytes + FL_PAGE - 1) / FL_PAGE * FL_PAGE; }

static inline fl_shared_offsets fl_shared_layout(uint64_t token_capacity, uint64_t record_capacity) {
    fl_shared_offsets o = {0};
    o.tokens = fl_page_up(FL_COUNTERS * sizeof(uint64_t));
    o.records = o.tokens + fl_ring_bytes(token_capacity, sizeof(fl_token));
    uint64_t at = o.records + fl_ring_bytes(record_capacity, sizeof(fl_record));
    for (int i = 0; i < FL_SHARED_HISTOGRAMS; i++) {
        o.histograms[i] = at;
        at += fl_page_up(FL_HISTOGRAM_BUCKETS * sizeof(uint64_t));
    }
    o.total = at;
    return o;
}

typedef struct fl_shared {
    _Atomic uint64_t *counters; /* one writer; readers want a recent value, no order: relaxed */
    fl_ring tokens, records;
    uint64_t *histograms[FL_SHARED_HISTOGRAMS];
} fl_shared;

static inline void fl_shared_attach(fl_shared *s, void *base, uint64_t token_capacity, uint64_t record_capacity) {
    unsigned char *b = base;
    fl_shared_offsets o = fl_shared_layout(token_capacity, record_capacity);
    s->counters = (_Atomic uint64_t *)(void *)(b + o.counters);
    fl_ring_attach(&s->tokens, b + o.tokens, token_capacity, sizeof(fl_token));
    fl_ring_attach(&s->records, b + o.records, record_capacity, sizeof(fl_record));
    for (int i = 0; i < FL_SHARED_HISTOGRAMS; i++) s->histograms[i] = (uint64_t *)(void *)(b + o.histograms[i]);
}

static inline void fl_count(fl_shared *s, fl_counter counter, uint64_t add) {
    uint64_t value = atomic_load_explicit(&s->counters[counter], memory_order_relaxed);
    atomic_store_explicit(&s->counters[counter], value + add, memory_order_relaxed);
}

#endif

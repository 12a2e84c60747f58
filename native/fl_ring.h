/* Single-producer single-consumer ring of fixed-size records in shared memory. The producer never waits.
 *
 * When the ring is full the newest record is dropped and counted in `lost`. The consumer may die at any point and another may
 * take over: all state is in the shared header. At the end written = read + in flight, and lost is told beside it; the
 * supervisor asserts it.
 *
 * Memory ordering: the producer fills the record, then publishes `written` with release; the consumer reads `written` with acquire,
 * so it sees whole records only. The consumer publishes `read` with release after it has used the records; the producer reads it
 * with acquire, so it never overwrites a record in use. Both indices only grow; a slot is index & mask. `written` and `read` live
 * on cache lines of their own, and the producer keeps a private copy of `read` that it refreshes only when the ring looks full.
 */
#ifndef FL_RING_H
#define FL_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct fl_ring_header {
    _Alignas(64) _Atomic uint64_t written;
    _Atomic uint64_t lost;
    _Alignas(64) _Atomic uint64_t read;
    _Alignas(64) uint64_t capacity; /* a power of two */
    uint64_t record_bytes;
} fl_ring_header;
_Static_assert(sizeof(fl_ring_header) == 192, "three cache lines");
_Static_assert(sizeof(_Atomic uint64_t) == 8, "shared with numpy");

/* The producer's private end. */
typedef struct fl_ring {
    fl_ring_header *header;
    unsigned char *records;
    uint64_t mask, written, read_seen, lost;
} fl_ring;

/* Where the records start: one page after the header, so that they are aligned for any reader. */
#define FL_RING_DATA_OFFSET 4096u

static inline uint64_t fl_ring_bytes(uint64_t capacity, uint64_t record_bytes) {
    uint64_t data = capacity * record_bytes;
    return FL_RING_DATA_OFFSET + (data + 4095u) / 4096u * 4096u;
}

static inline void fl_ring_attach(fl_ring *ring, void *base, uint64_t capacity, uint64_t record_bytes) {
    ring->header = (fl_ring_header *)base;
    ring->records = (unsigned char *)base + FL_RING_DATA_OFFSET;
    ring->mask = capacity - 1;
    ring->header->capacity = capacity;
    ring->header->record_bytes = record_bytes;
    ring->written = atomic_load_explicit(&ring->header->written, memory_order_relaxed);
    ring->read_seen = atomic_load_explicit(&ring->header->read, memory_order_acquire);
    ring->lost = atomic_load_explicit(&ring->header->lost, memory_order_relaxed);
}

/* Append one record; false when the ring was full and it was counted as lost instead. */
static inline bool fl_ring_write(fl_ring *ring, const void *record, size_t record_bytes) {
    if (ring->written - ring->read_seen > ring->mask) {
        ring->read_seen = atomic_load_explicit(&ring->header->read, memory_order_acquire);
        if (ring->written - ring->read_seen > ring->mask) {
            atomic_store_explicit(&ring->header->lost, ++ring->lost, memory_order_relaxed); /* a statistic, orders nothing */
            return false;
        }
    }
    memcpy(ring->records + (ring->written & ring->mask) * record_bytes, record, record_bytes);
    atomic_store_explicit(&ring->header->written, ++ring->written, memory_order_release);
    return true;
}

#endif

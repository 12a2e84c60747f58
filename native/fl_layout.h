/* The layout of everything that crosses shared memory, for C; fastload/samples/layout.py says the same to Python.
 *
 * These two files are the only places that know a byte offset; tests/contract/test_layout.py holds them against each other.
 */
#ifndef FL_LAYOUT_H
#define FL_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* --- token sample: two little-endian words, see layout.py ------------------------------------------------------------- */

#define FL_TIME_MASK ((UINT64_C(1) << 48) - 1)
#define FL_SLOT_LOW_SHIFT 48
#define FL_SLOT_HIGH_SHIFT 48
#define FL_ENDPOINT_SHIFT 56
#define FL_ENDPOINT_MASK 0x3Fu
#define FL_TOKEN_FIRST (UINT64_C(1) << 62)
#define FL_TOKEN_COALESCED (UINT64_C(1) << 63)

typedef struct fl_token {
    uint64_t word[2];
} fl_token;
_Static_assert(sizeof(fl_token) == 16, "a token sample is 16 bytes");

/* --- request record ---------------------------------------------------------------------------------------------------- */

#define FL_RECORD_STREAMED 1u
#define FL_RECORD_REUSED 2u
#define FL_RECORD_SHORTENED 4u /* set by Python: it completed with fewer tokens than asked_tokens */
#define FL_RECORD_RETRIED 8u   /* set by Python: another attempt of the same request followed */

typedef struct fl_record {
    uint64_t scheduled_ns, sent_ns, first_byte_ns, first_token_ns, first_answer_ns, last_token_ns, end_ns, connect_ns;
    uint64_t max_gap_ns, body_bytes, request_id;
    uint32_t events, coalesced;
    int32_t output_tokens, input_tokens;
    uint32_t user;
    uint16_t status;
    uint8_t outcome, attempts;
    uint16_t worker;
    uint8_t endpoint, flags;
    uint32_t asked_tokens; /* output tokens the server was told to give, no fewer; 0 = it was free to stop */
    uint64_t held_ns;
} fl_record;
_Static_assert(sizeof(fl_record) == 128, "a request record is two cache lines");
_Static_assert(offsetof(fl_record, held_ns) == 120, "no hidden padding");

typedef enum fl_outcome {
    FL_COMPLETED = 0,
    FL_CONNECT = 1,
    FL_TIMEOUT = 2,
    FL_RESET = 3,
    FL_HTTP_4XX = 4,
    FL_HTTP_429 = 5,
    FL_HTTP_5XX = 6,
    FL_STREAM_ERROR = 7,
    FL_TRUNCATED = 8,
    FL_MALFORMED = 9,
    FL_TLS = 10,
    FL_DNS = 11,
    FL_CANCELLED = 12,
    FL_OTHER = 13
} fl_outcome;

/* --- log-linear histogram ---------------------------------------------------------------------------------------------- */

#define FL_HISTOGRAM_SUB_BITS 10
#define FL_HISTOGRAM_OCTAVES 48
#define FL_HISTOGRAM_BUCKETS ((FL_HISTOGRAM_OCTAVES << FL_HISTOGRAM_SUB_BITS) + 1)

/* --- one worker's block of shared memory ------------------------------------------------------------------------------- *
 *
 *   control page   FL_COUNTERS 64-bit counters, one writer (the worker), any reader
 *   token ring     ring header, capacity * 16 bytes
 *   record ring    ring header, capacity * 128 bytes
 *   histograms     FL_SHARED_HISTOGRAMS times FL_HISTOGRAM_BUCKETS 64-bit counts
 *
 * Every part starts on a page, so that parts nobody touches cost no memory.
 */
typedef enum fl_counter {
    FL_C_STARTED,        /* requests put on a wire for the first time */
    FL_C_COMPLETED,      /* records committed with outcome completed */
    FL_C_FAILED,         /* records committed with another outcome but cancelled */
    FL_C_CANCELLED,      /* records committed as cancelled */
    FL_C_READS_KERNEL,   /* reads that carried a kernel stamp */
    FL_C_READS_USER,     /* reads that carried none */
    FL_C_OFFSET_STEPS,   /* steps of the wall clock noticed */
    FL_C_EVENTS,         /* content events */
    FL_C_COALESCED,      /* content events that shared a read with an earlier one of their stream */
    FL_C_COALESCED_LATE, /* those read after the sockets were not looked at for FL_LATE_NS */
    FL_C_PASSES,         /* drain passes */
    FL_C_BYTES,          /* bytes received */
    FL_C_USERS,          /* users alive; written by Python */
    FL_C_IN_FLIGHT,      /* requests in flight; written by Python */
    FL_C_MISSED,         /* arrivals that found no place; written by Python */
    FL_C_WAITING,        /* arrivals that wait for a place; written by Python */
    FL_COUNTERS
} fl_counter;

typedef enum fl_shared_histogram {
    FL_H_STAMP_LAG,
    FL_H_LOOP_STALL,
    FL_H_STAMP_ERROR_KERNEL,
    FL_H_STAMP_ERROR_USER,
    FL_SHARED_HISTOGRAMS
} fl_shared_histogram;

#define FL_PAGE 4096u

/* Sockets not looked at for longer than this make any coalescing found afterwards the client's own doing. The worker's
 * heartbeat looks at them every 5 ms at the latest, so three missed beats mean that it was starved. */
#define FL_LATE_NS UINT64_C(15000000)

#endif

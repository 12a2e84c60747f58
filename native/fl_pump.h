/* The token pump of the mock server: sends prebuilt answers on time, one send() per group of token events.
 *
 * Owns the schedule, the composition of events, the timer and the truth about when each event left. It must not know HTTP
 * beyond chunk framing, nor why an answer looks as it does: the caller builds heads, event prefixes and tails. It never owns a
 * descriptor: the caller cancels an answer before it closes the socket under it. One thread at a time.
 *
 * Invariant: the due time of token k is the arrival + ttft + the sum of the k gaps before it, whatever happened to the sends in
 * between; a late send never moves a later one. Answers in flight = opened - finished - cancelled. */
#ifndef FL_PUMP_H
#define FL_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fl_linear.h"

typedef struct fl_pump fl_pump;

/* What holds for every answer of one pump. */
typedef struct fl_pump_options {
    const char *const *words; /* JSON-escaped token texts, copied */
    const size_t *word_bytes;
    size_t words_count;
    uint32_t coalesce;        /* token events per send, >= 1 */
    uint64_t stall_every_ns;  /* 0 = never; otherwise every so many ns after `epoch_ns` ... */
    uint64_t stall_length_ns; /* ... nothing is sent for so long; < stall_every_ns */
    uint64_t epoch_ns;
    uint64_t seed;
} fl_pump_options;

/* One answer. The bytes are copied. An answer without tokens is `head` at once and `tail` when due. */
typedef struct fl_pump_answer {
    int fd; /* a non-blocking stream socket */
    bool chunked;
    uint64_t arrival_ns; /* when the request's last byte arrived */
    uint64_t ttft_ns, itl_ns;
    double jitter; /* relative standard deviation of ttft and gaps */
    uint32_t tokens;
    const char *head, *prefix, *middle, *suffix, *tail;
    size_t head_bytes, prefix_bytes, middle_bytes, suffix_bytes, tail_bytes;
    bool send_clock; /* an event is prefix, clock, middle, word, suffix; otherwise prefix, word, suffix */
} fl_pump_answer;

enum { FL_PUMP_FINISHED = 0, FL_PUMP_GONE = 1 };

typedef struct fl_pump_done {
    uint64_t id;
    int outcome; /* FL_PUMP_FINISHED or FL_PUMP_GONE (the peer closed or reset) */
} fl_pump_done;

typedef struct fl_pump_truth {
    fl_linear ttft, itl, late;
    uint64_t tokens;      /* content events handed to the kernel in full */
    uint64_t streams;     /* answers with tokens that are open now */
    uint64_t peak_streams;
} fl_pump_truth;

/* NULL with errno set when memory or descriptors are out. */
fl_pump *fl_pump_create(const fl_pump_options *options);
void fl_pump_destroy(fl_pump *pump);

/* The descriptor that turns readable when fl_pump_run has something to do. */
int fl_pump_fd(const fl_pump *pump);

/* Start an answer. Returns its id (> 0), 0 when it is already finished, -1 when the peer is gone, -2 when memory is out. */
int64_t fl_pump_open(fl_pump *pump, const fl_pump_answer *answer);

/* Forget an answer; false when it is not in flight any more. */
bool fl_pump_cancel(fl_pump *pump, uint64_t id);

/* Send what is due for at most `budget_ns`. Returns how many answers ended; `*done` is valid until the next call.
 * -1 with errno when the kernel refuses the timer or memory is out. */
int64_t fl_pump_run(fl_pump *pump, uint64_t budget_ns, const fl_pump_done **done);

const fl_pump_truth *fl_pump_truth_of(const fl_pump *pump);
void fl_pump_reset(fl_pump *pump);

#endif

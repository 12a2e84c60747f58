/* One answer of the mock server on its way out: its bytes, its own schedule and what its socket did not take yet.
 *
 * Owns the composition of events and the sends; must not know timers, other answers or HTTP beyond chunk framing. Invariant:
 * bytes reach the socket in order and complete (head, events, tail), however little it takes at a time; a group of events of
 * which nothing was taken is composed again, so the clock inside an event is always that of the send that carried it. */
#ifndef FL_ANSWER_H
#define FL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fl_pump.h"

typedef enum { FL_SENT, FL_FULL, FL_GONE, FL_NO_MEMORY } fl_sent;

/* What all answers of a pump share. */
typedef struct fl_composer {
    char *words;
    uint32_t *word_at, *word_bytes; /* into `words` */
    uint32_t words_count, word_max, coalesce;
    char *scratch; /* one group of events */
    size_t scratch_room;
    fl_pump_truth truth;
} fl_composer;

typedef struct fl_answer {
    uint64_t due_ns;  /* of the next group; the heap's key is `turn_ns` */
    uint64_t turn_ns; /* due_ns, or FL_TURN_NOW while a rest waits */
    uint64_t arrival_ns, last_send_ns, itl_ns, rng;
    double jitter, spare_normal;
    char *blob; /* prefix, middle, suffix, tail */
    size_t prefix_bytes, middle_bytes, suffix_bytes, tail_bytes;
    char *rest; /* what a full socket did not take of the last send */
    size_t rest_bytes, rest_sent;
    uint32_t rest_tokens; /* events that count as sent once the rest is */
    uint32_t tokens, sent, word, generation, heap_at, next_free;
    int fd;
    bool open, chunked, send_clock, has_spare, blocked;
} fl_answer;

#define FL_TURN_NOW 1 /* before any clock reading, and not 0, which would disarm the timer */

bool fl_composer_init(fl_composer *c, const fl_pump_options *options);
void fl_composer_free(fl_composer *c);

/* Copy the parts and draw the first due time from `seed`. False when memory is out; fl_answer_free is due in either case. */
bool fl_answer_init(fl_answer *a, fl_composer *c, const fl_pump_answer *from, uint64_t seed);
void fl_answer_free(fl_answer *a);

/* Send the head; `stalled` keeps all of it for later. */
fl_sent fl_answer_head(fl_answer *a, const fl_pump_answer *from, bool stalled);

/* Do the next thing: the rest, else the next group, else the tail. FL_FULL: wait for room in the socket and come back. `*now_ns`
 * becomes the clock of the send. */
fl_sent fl_answer_step(fl_answer *a, fl_composer *c, uint64_t *now_ns);

/* Everything has been handed to the kernel. */
static inline bool fl_answer_finished(const fl_answer *a) { return a->rest == NULL && a->sent == a->tokens && a->tail_bytes == 0; }

#endif

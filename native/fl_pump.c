/* See fl_pump.h. An answer is in exactly one place: the heap (waiting for its due time, or for its turn), the pump's epoll
 * (waiting for room in its socket), or the free list. */
#define _GNU_SOURCE
#include "fl_answer.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "fl_clock.h"

#define SLOT_BITS 24 /* 16 million answers at once; an id is generation << SLOT_BITS | slot */
#define SLOT_MASK ((UINT64_C(1) << SLOT_BITS) - 1)
#define NOWHERE UINT32_MAX
#define TIMER_TAG UINT64_MAX
/* Waiting this long in place is cheaper than going back to the event loop and being woken again, which takes about as long. */
#define SPIN_NS 8000

struct fl_pump {
    fl_answer *answers;
    uint32_t *heap; /* slots, a binary min-heap by turn_ns */
    fl_pump_done *done;
    size_t room, done_room, done_count;
    uint32_t used, heap_size, free_slot, blocked;
    int epoll_fd, timer_fd;
    uint64_t armed_ns; /* what the timer is set to; 0 = not */
    uint64_t stall_every_ns, stall_length_ns, epoch_ns, seed, opened;
    fl_composer composer;
};

int fl_pump_fd(const fl_pump *p) { return p->epoll_fd; }
const fl_pump_truth *fl_pump_truth_of(const fl_pump *p) { return &p->composer.truth; }

/* --- the heap */

static bool earlier(const fl_pump *p, uint32_t a, uint32_t b) { return p->answers[a].turn_ns < p->answers[b].turn_ns; }

static void put(fl_pump *p, uint32_t at, uint32_t slot) {
    p->heap[at] = slot;
    p->answers[slot].heap_at = at;
}

static void sift_up(fl_pump *p, uint32_t at, uint32_t slot) {
    for (; at > 0 && earlier(p, slot, p->heap[(at - 1) / 2]); at = (at - 1) / 2) put(p, at, p->heap[(at - 1) / 2]);
    put(p, at, slot);
}

static void sift_down(fl_pump *p, uint32_t at, uint32_t slot) {
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= p->heap_size) break;
        if (child + 1 < p->heap_size && earlier(p, p->heap[child + 1], p->heap[child])) child++;
        if (!earlier(p, p->heap[child], slot)) break;
        put(p, at, p->heap[child]);
        at = child;
    }
    put(p, at, slot);
}

static void heap_add(fl_pump *p, uint32_t slot) {
    assert(p->answers[slot].heap_at == NOWHERE);
    sift_up(p, p->heap_size++, slot);
}

static void heap_remove(fl_pump *p, uint32_t slot) {
    uint32_t at = p->answers[slot].heap_at;
    if (at == NOWHERE) return;
    assert(p->heap[at] == slot);
    uint32_t last = p->heap[--p->heap_size];
    p->answers[slot].heap_at = NOWHERE;
    if (last == slot) return;
    if (at > 0 && earlier(p, last, p->heap[(at - 1) / 2])) sift_up(p, at, last);
    else sift_down(p, at, last);
}

/* --- slots */

static bool grow(fl_pump *p) {
    size_t room = p->room ? p->room * 2 : 256;
    if (room > (size_t)1 << SLOT_BITS) return false;
    fl_answer *answers = realloc(p->answers, room * sizeof *answers);
    if (answers != NULL) p->answers = answers;
    uint32_t *heap = realloc(p->heap, room * sizeof *heap);
    if (heap != NULL) p->heap = heap;
    if (answers == NULL || heap == NULL) return false;
    memset(p->answers + p->room, 0, (room - p->room) * sizeof *answers);
    p->room = room;
    return true;
}

static uint32_t take_slot(fl_pump *p) {
    uint32_t slot = p->free_slot;
    if (slot != NOWHERE) {
        p->free_slot = p->answers[slot].next_free;
        return slot;
    }
    if (p->used == p->room && !grow(p)) return NOWHERE;
    return p->used++;
}

static uint64_t id_of(const fl_pump *p, uint32_t slot) { return (uint64_t)p->answers[slot].generation << SLOT_BITS | slot; }

static void unblock(fl_pump *p, fl_answer *a) {
    if (!a->blocked) return;
    a->blocked = false;
    p->blocked--;
    (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, a->fd, NULL); /* fails only when the descriptor is already gone */
}

static void release(fl_pump *p, uint32_t slot) {
    fl_answer *a = &p->answers[slot];
    assert(a->open);
    heap_remove(p, slot);
    unblock(p, a);
    if (a->tokens) p->composer.truth.streams--;
    fl_answer_free(a);
    uint32_t generation = a->generation;
    *a = (fl_answer){.generation = generation, .next_free = p->free_slot, .heap_at = NOWHERE, .fd = -1};
    p->free_slot = slot;
}

bool fl_pump_cancel(fl_pump *p, uint64_t id) {
    uint32_t slot = (uint32_t)(id & SLOT_MASK);
    if (slot >= p->used || !p->answers[slot].open || id_of(p, slot) != id) return false;
    release(p, slot);
    return true;
}

/* --- the schedule */

/* 0 when sending is allowed at `now`, otherwise when the present stall ends. The first stall begins one period after the epoch. */
static uint64_t stalled_until(const fl_pump *p, uint64_t now) {
    if (p->stall_every_ns == 0 || now < p->epoch_ns + p->stall_every_ns) return 0;
    uint64_t into = (now - p->epoch_ns) % p->stall_every_ns;
    return into < p->stall_length_ns ? now - into + p->stall_length_ns : 0;
}

static bool wait_for_room(fl_pump *p, uint32_t slot) {
    fl_answer *a = &p->answers[slot];
    heap_remove(p, slot);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.u64 = id_of(p, slot)};
    if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, a->fd, &event) < 0) return false;
    a->blocked = true;
    p->blocked++;
    return true;
}

static bool note_done(fl_pump *p, uint32_t slot, int outcome) {
    if (p->done_count == p->done_room) {
        size_t room = p->done_room ? p->done_room * 2 : 256;
        fl_pump_done *grown = realloc(p->done, room * sizeof *grown);
        if (grown == NULL) return false;
        p->done = grown;
        p->done_room = room;
    }
    p->done[p->done_count++] = (fl_pump_done){.id = id_of(p, slot), .outcome = outcome};
    release(p, slot);
    return true;
}

/* Set the timer for `at_ns`; setting it also clears its readiness, which saves reading it. */
static bool arm(fl_pump *p, uint64_t at_ns) {
    struct itimerspec when = {0};
    if (at_ns) {
        when.it_value.tv_sec = (time_t)(at_ns / UINT64_C(1000000000));
        when.it_value.tv_nsec = (long)(at_ns % UINT64_C(1000000000));
    }
    p->armed_ns = at_ns;
    return timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0;
}

/* Put answers whose sockets have room again back into the heap; their turn is now. */
static void collect_writable(fl_pump *p) {
    struct epoll_event events[128];
    int n = epoll_wait(p->epoll_fd, events, 128, 0);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == TIMER_TAG) continue;
        uint32_t slot = (uint32_t)(events[i].data.u64 & SLOT_MASK);
        fl_answer *a = &p->answers[slot];
        if (!a->open || !a->blocked || id_of(p, slot) != events[i].data.u64) continue;
        unblock(p, a);
        heap_add(p, slot);
    }
}

/* The clock once the earliest turn has come, waiting in place for a near one; 0 when it is too far off. */
static uint64_t await_turn(uint64_t turn_ns, uint64_t now, uint64_t stop) {
    if (turn_ns <= now) return now;
    now = fl_mono_ns();
    if (turn_ns > now + SPIN_NS || now >= stop) return 0;
    while (now < turn_ns) now = fl_mono_ns();
    return now;
}

int64_t fl_pump_run(fl_pump *p, uint64_t budget_ns, const fl_pump_done **done) {
    p->done_count = 0;
    if (p->blocked) collect_writable(p);
    uint64_t now = fl_mono_ns(), stop = now + budget_ns, stall = stalled_until(p, now);
    while (stall == 0 && p->heap_size && now < stop) {
        uint32_t slot = p->heap[0];
        fl_answer *a = &p->answers[slot];
        now = await_turn(a->turn_ns, now, stop);
        if (now == 0) break;
        fl_sent result = fl_answer_step(a, &p->composer, &now);
        if (result == FL_NO_MEMORY || (result == FL_FULL && !wait_for_room(p, slot))) return -1;
        if (result == FL_GONE || fl_answer_finished(a)) {
            if (!note_done(p, slot, result == FL_GONE ? FL_PUMP_GONE : FL_PUMP_FINISHED)) return -1;
        } else if (result == FL_SENT) {
            sift_down(p, a->heap_at, slot);
        }
        stall = stalled_until(p, now);
    }
    uint64_t next = p->heap_size ? (stall ? stall : p->answers[p->heap[0]].turn_ns) : 0;
    if (!arm(p, next)) return -1;
    *done = p->done;
    return (int64_t)p->done_count;
}

/* Queue an answer that is not finished; false when the kernel refuses. */
static bool enqueue(fl_pump *p, uint32_t slot, fl_sent result, uint64_t stall) {
    if (result == FL_FULL && stall == 0) return wait_for_room(p, slot);
    heap_add(p, slot);
    uint64_t at = stall ? stall : p->answers[slot].turn_ns;
    return (p->armed_ns != 0 && p->armed_ns <= at) || arm(p, at);
}

int64_t fl_pump_open(fl_pump *p, const fl_pump_answer *from) {
    uint32_t slot = take_slot(p);
    if (slot == NOWHERE) return -2;
    fl_answer *a = &p->answers[slot];
    *a = (fl_answer){.generation = (a->generation + 1) & INT32_MAX, .heap_at = NOWHERE, .open = true};
    if (a->generation == 0) a->generation = 1;
    uint64_t seed = p->seed ^ (++p->opened * UINT64_C(0xD1342543DE82EF95));
    fl_pump_truth *truth = &p->composer.truth;
    if (from->tokens && ++truth->streams > truth->peak_streams) truth->peak_streams = truth->streams;
    uint64_t now = fl_mono_ns(), stall = stalled_until(p, now);
    fl_sent result = FL_NO_MEMORY;
    if (fl_answer_init(a, &p->composer, from, seed)) result = fl_answer_head(a, from, stall != 0);
    if (result == FL_SENT && stall == 0 && a->tokens == 0 && a->due_ns <= now) result = fl_answer_step(a, &p->composer, &now);
    bool finished = result == FL_SENT && fl_answer_finished(a);
    if (result == FL_GONE || finished) {
        release(p, slot);
        return finished ? 0 : -1;
    }
    uint64_t id = id_of(p, slot);
    if (result == FL_NO_MEMORY || !enqueue(p, slot, result, stall)) {
        release(p, slot);
        return -2;
    }
    return (int64_t)id;
}

void fl_pump_reset(fl_pump *p) {
    fl_pump_truth *t = &p->composer.truth;
    fl_linear_clear(&t->ttft);
    fl_linear_clear(&t->itl);
    fl_linear_clear(&t->late);
    t->tokens = 0;
    t->peak_streams = t->streams;
}

fl_pump *fl_pump_create(const fl_pump_options *options) {
    assert(options->stall_every_ns == 0 || options->stall_length_ns < options->stall_every_ns);
    fl_pump *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->free_slot = NOWHERE;
    p->stall_every_ns = options->stall_every_ns;
    p->stall_length_ns = options->stall_length_ns;
    p->epoch_ns = options->epoch_ns;
    p->seed = options->seed;
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = TIMER_TAG};
    if (!fl_composer_init(&p->composer, options)) errno = ENOMEM;
    else if (p->timer_fd >= 0 && p->epoll_fd >= 0 && epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->timer_fd, &event) == 0) return p;
    fl_pump_destroy(p);
    return NULL;
}

void fl_pump_destroy(fl_pump *p) {
    if (p == NULL) return;
    int kept = errno;
    for (uint32_t slot = 0; slot < p->used; slot++) {
        if (p->answers[slot].open) release(p, slot);
    }
    if (p->epoll_fd >= 0) close(p->epoll_fd);
    if (p->timer_fd >= 0) close(p->timer_fd);
    fl_composer_free(&p->composer);
    free(p->answers);
    free(p->heap);
    free(p->done);
    free(p);
    errno = kept;
}

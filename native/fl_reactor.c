/* The reactor's receive path; connections, sending and records are in fl_connection.c. */
#define _GNU_SOURCE
#include "fl_reactor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fl_connection.h"

int fl_reactor_init(fl_reactor *r, void *shared, uint64_t token_capacity, uint64_t record_capacity, uint64_t epoch_ns, uint16_t worker) {
    assert(r != NULL && shared != NULL);
    *r = (fl_reactor){.epoch_ns = epoch_ns, .worker = worker, .read_id = 1, .timer_fd = -1};
    fl_shared_attach(&r->shared, shared, token_capacity, record_capacity);
    fl_matcher_init(&r->dialect.matcher);
    r->scratch = malloc(FL_SCRATCH_BYTES);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (r->scratch == NULL || r->epoll_fd < 0 || r->timer_fd < 0) return -1;
    r->looked_ns = fl_clock_sync(&r->clock);
    return 0;
}

void fl_reactor_free(fl_reactor *r) {
    for (uint32_t i = 0; i < r->conns_used; i++) {
        if (r->conns[i] == NULL) continue;
        fl_reactor_close(r, i);
        free(r->conns[i]);
    }
    free(r->conns);
    free(r->free_slots);
    free(r->notices);
    free(r->scratch);
    fl_buffer_free(&r->arena);
    if (r->epoll_fd >= 0) close(r->epoll_fd);
    if (r->timer_fd >= 0) close(r->timer_fd);
    *r = (fl_reactor){.epoll_fd = -1, .timer_fd = -1};
}

fl_notice *fl_notice_add(fl_reactor *r, const fl_conn *c, fl_notice_kind kind) {
    if (r->notices_used == r->notices_room) {
        size_t room = r->notices_room ? r->notices_room * 2 : 1024;
        fl_notice *grown = realloc(r->notices, room * sizeof *grown);
        if (grown == NULL) {
            r->out_of_memory = true; /* reported by the binding as MemoryError: a lost notice would hang its request */
            return NULL;
        }
        r->notices = grown;
        r->notices_room = room;
    }
    fl_notice *notice = &r->notices[r->notices_used++];
    *notice = (fl_notice){.slot = c->slot, .kind = (uint8_t)kind};
    return notice;
}

/* --- samples ------------------------------------------------------------------------------------------------------------- */

static void fl_token_sample(void *context, uint64_t stamp_ns, uint64_t gap_ns, uint64_t flags) {
    fl_reactor *r = context;
    const fl_conn *c = r->current;
    uint64_t relative = stamp_ns > r->epoch_ns ? stamp_ns - r->epoch_ns : 0;
    if (gap_ns > FL_TIME_MASK) gap_ns = FL_TIME_MASK;
    fl_token token = {{(relative & FL_TIME_MASK) | (uint64_t)(c->slot & 0xFFFFu) << FL_SLOT_LOW_SHIFT,
                       gap_ns | (uint64_t)(c->slot >> 16 & 0xFFu) << FL_SLOT_HIGH_SHIFT |
                           (uint64_t)(c->record.endpoint & FL_ENDPOINT_MASK) << FL_ENDPOINT_SHIFT | flags}};
    (void)fl_ring_write(&r->shared.tokens, &token, sizeof token);
}

static void fl_probe_sample(void *context, uint64_t server_clock_ns) {
    fl_reactor *r = context;
    uint64_t stamp = r->current->decoder.stamp_ns;
    fl_histogram_add(r->shared.histograms[FL_H_STAMP_ERROR_KERNEL], stamp > server_clock_ns ? stamp - server_clock_ns : server_clock_ns - stamp);
    fl_histogram_add(r->shared.histograms[FL_H_STAMP_ERROR_USER],
                     r->read_ns > server_clock_ns ? r->read_ns - server_clock_ns : server_clock_ns - r->read_ns);
}

static fl_sink fl_reactor_sink(fl_reactor *r) { return (fl_sink){fl_token_sample, fl_probe_sample, r}; }

/* --- bytes --------------------------------------------------------------------------------------------------------------- */

/* The response is over, one way or another. */
static void fl_finished(fl_reactor *r, fl_conn *c, uint8_t outcome, uint64_t end_ns) {
    c->state = FL_CONN_DONE;
    c->record.end_ns = end_ns;
    c->deadline_ns = 0;
    fl_notice *notice = fl_notice_add(r, c, FL_N_FINISHED);
    if (notice == NULL) return;
    notice->code = outcome;
    notice->bytes = c->decoder.kept.bytes;
    notice->n = c->decoder.dialect != NULL ? c->decoder.kept.used : 0;
}

static void fl_body_arrived(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns, uint64_t read_id) {
    fl_sink sink = fl_reactor_sink(r);
    uint32_t events = c->decoder.events, coalesced = c->decoder.coalesced;
    size_t used = 0;
    r->current = c;
    fl_progress progress = fl_decoder_feed(&c->decoder, bytes, n, stamp_ns, read_id, &sink, &used);
    if (c->decoder.events != events) fl_count(&r->shared, FL_C_EVENTS, c->decoder.events - events);
    if (c->decoder.coalesced != coalesced) {
        fl_count(&r->shared, FL_C_COALESCED, c->decoder.coalesced - coalesced);
        if (r->late) fl_count(&r->shared, FL_C_COALESCED_LATE, c->decoder.coalesced - coalesced);
    }
    if (progress == FL_MORE) return;
    if (used < n) c->spoiled = true;
    fl_finished(r, c, c->decoder.outcome, stamp_ns);
}

/* Length of the head in b, its empty line included, searching from `from`; 0 when it is not complete. */
static size_t fl_head_end(const uint8_t *b, size_t n, size_t from) {
    const uint8_t *p = b + (from > 3 ? from - 3 : 0), *end = b + n;
    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        p++;
        if (p < end && *p == '\n') return (size_t)(p + 1 - b);
        if (p + 1 < end && p[0] == '\r' && p[1] == '\n') return (size_t)(p + 2 - b);
    }
    return 0;
}

static void fl_head_arrived(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns, uint64_t read_id) {
    size_t from = c->head.used;
    if (from == 0 && c->record.first_byte_ns == 0) c->record.first_byte_ns = stamp_ns;
    if (!fl_buffer_append(&c->head, bytes, n, FL_HEAD_LIMIT + FL_SCRATCH_BYTES)) {
        fl_finished(r, c, FL_MALFORMED, stamp_ns);
        return;
    }
    c->head_stamp_ns = stamp_ns;
    c->head_read_id = read_id;
    c->head_bytes = fl_head_end(c->head.bytes, c->head.used, from);
    if (c->head_bytes == 0) {
        if (c->head.used > FL_HEAD_LIMIT) fl_finished(r, c, FL_MALFORMED, stamp_ns);
        return;
    }
    c->state = FL_CONN_FRAMING;
    fl_notice *notice = fl_notice_add(r, c, FL_N_HEAD);
    if (notice == NULL) return;
    notice->bytes = c->head.bytes;
    notice->n = c->head_bytes;
}

static void fl_arrived(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns) {
    uint64_t read_id = ++r->read_id;
    switch (c->state) {
    case FL_CONN_HEAD: fl_head_arrived(r, c, bytes, n, stamp_ns, read_id); break;
    case FL_CONN_BODY: fl_body_arrived(r, c, bytes, n, stamp_ns, read_id); break;
    case FL_CONN_FRAMING: /* TLS only: several records of one read; keep them behind the head */
        if (!fl_buffer_append(&c->head, bytes, n, FL_HEAD_LIMIT + FL_WHOLE_LIMIT)) fl_finished(r, c, FL_MALFORMED, stamp_ns);
        break;
    default: c->spoiled = true; /* bytes nobody asked for */
    }
}

/* The peer closed, or the connection broke (error != 0). */
static void fl_ended(fl_reactor *r, fl_conn *c, int error, uint64_t stamp_ns) {
    c->eof = true;
    if (c->state == FL_CONN_IDLE) {
        (void)fl_notice_add(r, c, FL_N_CLOSED);
    } else if (c->state == FL_CONN_HEAD) {
        bool stale = c->reused && c->head.used == 0 && c->record.first_byte_ns == 0;
        fl_finished(r, c, stale ? FL_STALE : FL_RESET, stamp_ns);
    } else if (c->state == FL_CONN_BODY && error != 0 && !c->decoder.ended) {
        fl_finished(r, c, FL_RESET, stamp_ns);
    } else if (c->state == FL_CONN_BODY) {
        fl_sink sink = fl_reactor_sink(r);
        r->current = c;
        fl_decoder_eof(&c->decoder, &sink);
        fl_finished(r, c, c->decoder.outcome, stamp_ns);
    }
}

/* --- the socket ---------------------------------------------------------------------------------------------------------- */

/* One read with the kernel's receive stamp: the bytes, 0 at the end, or -1 with errno. The stamp is that of the last packet read. */
static ssize_t fl_receive(fl_reactor *r, int fd, uint64_t *stamp_ns) {
    union {
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr align;
    } control;
    struct iovec vector = {r->scratch, FL_SCRATCH_BYTES};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
    r->read_ns = fl_mono_ns();
    *stamp_ns = 0;
    if (n <= 0) {
        *stamp_ns = r->read_ns;
        return n;
    }
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec t;
        memcpy(&t, CMSG_DATA(head), sizeof t);
        *stamp_ns = fl_clock_to_mono(&r->clock, (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec, r->read_ns);
    }
    fl_count(&r->shared, *stamp_ns ? FL_C_READS_KERNEL : FL_C_READS_USER, 1);
    if (*stamp_ns) fl_histogram_add(r->shared.histograms[FL_H_STAMP_LAG], r->read_ns - *stamp_ns);
    else *stamp_ns = r->read_ns;
    fl_count(&r->shared, FL_C_BYTES, (uint64_t)n);
    return n;
}

static void fl_ciphertext(fl_reactor *r, fl_conn *c, size_t n, uint64_t stamp_ns) {
    fl_notice *notice = fl_notice_add(r, c, FL_N_CIPHER);
    if (notice == NULL) return;
    notice->at = r->arena.used;
    notice->n = n;
    notice->stamp_ns = stamp_ns;
    notice->read_ns = r->read_ns;
    if (!fl_buffer_append(&r->arena, r->scratch, n, SIZE_MAX)) r->out_of_memory = true;
}

/* With thousands of streams a connection's memory is cold; fetch what its next event is compared with during the system call. */
static inline void fl_prefetch(const fl_conn *c) {
    const uint8_t *expected = c->decoder.template.bytes.bytes;
    if (c->state != FL_CONN_BODY || expected == NULL) return;
    __builtin_prefetch(&c->decoder);
    for (size_t at = 0; at < 256; at += 64) __builtin_prefetch(expected + at);
}

/* Read until the socket is empty. `closing`: epoll saw the peer's end, so read on to meet it. */
static void fl_readable(fl_reactor *r, fl_conn *c, bool closing) {
    for (;;) {
        uint64_t stamp_ns;
        if (c->eof) return;
        if (c->state == FL_CONN_FRAMING && !c->tls) {
            c->missed = true;
            return;
        }
        fl_prefetch(c);
        ssize_t n = fl_receive(r, c->fd, &stamp_ns);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (n <= 0) {
            int error = n < 0 ? errno : 0;
            if (c->tls && c->state != FL_CONN_IDLE) {
                c->eof = true;
                (void)fl_notice_add(r, c, FL_N_CIPHER_EOF);
            } else {
                fl_ended(r, c, error, stamp_ns);
            }
            return;
        }
        if (c->tls) fl_ciphertext(r, c, (size_t)n, stamp_ns);
        else fl_arrived(r, c, r->scratch, (size_t)n, stamp_ns);
        if (!closing && (size_t)n < FL_SCRATCH_BYTES) return; /* edge-triggered: a short read means empty, epoll(7) Q9 */
    }
}

/* Wait for a ready socket for at most `wait_ns`; as epoll_wait otherwise. */
static int fl_wait(const fl_reactor *r, struct epoll_event *events, uint64_t wait_ns) {
    struct timespec t = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
#ifdef SYS_epoll_pwait2
    long n = syscall(SYS_epoll_pwait2, r->epoll_fd, events, FL_EVENTS_A_CALL, &t, NULL, (size_t)0);
    if (n >= 0 || errno != ENOSYS) return (int)n;
#endif
    return epoll_wait(r->epoll_fd, events, FL_EVENTS_A_CALL, (int)(t.tv_nsec / 1000000)); /* before Linux 5.11: whole ms */
}

static void fl_handle(fl_reactor *r, const struct epoll_event *event) {
    fl_conn *c = fl_reactor_conn(r, event->data.u32);
    if (c == NULL) return;
    if ((event->events & EPOLLOUT) && c->out_bytes) fl_flush(c);
    if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        fl_readable(r, c, (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

int fl_reactor_drain(fl_reactor *r, uint64_t budget_ns) {
    struct epoll_event events[FL_EVENTS_A_CALL];
    uint64_t start = fl_clock_sync(&r->clock), expirations;
    int n;
    if (r->ticking && read(r->timer_fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) return -1;
    r->late = start - r->looked_ns > FL_LATE_NS;
    n = epoll_wait(r->epoll_fd, events, FL_EVENTS_A_CALL, 0);
    for (;;) {
        if (n < 0) return errno == EINTR ? 1 : -1;
        for (int i = 0; i < n; i++) {
            if (i + 1 < n) __builtin_prefetch(fl_reactor_conn(r, events[i + 1].data.u32));
            fl_handle(r, &events[i]);
        }
        r->looked_ns = fl_mono_ns();
        uint64_t spent = r->looked_ns - start;
        if (n == FL_EVENTS_A_CALL) {
            if (spent >= budget_ns) break;
            n = epoll_wait(r->epoll_fd, events, FL_EVENTS_A_CALL, 0);
        } else {
            /* Nothing for Python to do and more to come soon: waiting here is cheaper than a turn of its loop. */
            if (r->notices_used || spent >= r->linger_ns) break;
            n = fl_wait(r, events, r->linger_ns - spent);
            if (n == 0) break;
        }
    }
    fl_count(&r->shared, FL_C_PASSES, 1);
    atomic_store_explicit(&r->shared.counters[FL_C_OFFSET_STEPS], r->clock.steps, memory_order_relaxed);
    return n == FL_EVENTS_A_CALL;
}

/* --- what Python asks for after a notice --------------------------------------------------------------------------------- */

void fl_reactor_body(fl_reactor *r, fl_conn *c, uint16_t status, fl_framing framing, uint64_t length, fl_format format) {
    assert(c->state == FL_CONN_FRAMING);
    c->record.status = status;
    c->state = FL_CONN_BODY;
    if (format != FL_FORMAT_WHOLE) c->record.flags |= FL_RECORD_STREAMED;
    fl_decoder_start(&c->decoder, &r->dialect, framing, length, format);
    fl_body_arrived(r, c, c->head.bytes + c->head_bytes, c->head.used - c->head_bytes, c->head_stamp_ns, c->head_read_id);
    fl_buffer_clear(&c->head);
    if (c->missed) {
        c->missed = false;
        fl_readable(r, c, true);
    }
}

void fl_reactor_interim(fl_reactor *r, fl_conn *c) {
    assert(c->state == FL_CONN_FRAMING);
    size_t rest = c->head.used - c->head_bytes;
    uint8_t *copy = rest ? malloc(rest) : NULL;
    if (rest && copy == NULL) {
        r->out_of_memory = true;
        return;
    }
    if (rest) memcpy(copy, c->head.bytes + c->head_bytes, rest);
    fl_buffer_clear(&c->head);
    c->state = FL_CONN_HEAD;
    if (rest) fl_head_arrived(r, c, copy, rest, c->head_stamp_ns, c->head_read_id);
    free(copy);
    if (c->missed) {
        c->missed = false;
        fl_readable(r, c, true);
    }
}

void fl_reactor_feed(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns, uint64_t read_ns) {
    r->read_ns = read_ns;
    if (n) fl_arrived(r, c, bytes, n, stamp_ns);
}

void fl_reactor_feed_eof(fl_reactor *r, fl_conn *c) { fl_ended(r, c, 0, fl_mono_ns()); }

void fl_reactor_abort(fl_reactor *r, fl_conn *c, fl_outcome outcome, uint64_t now_ns) {
    if (c->state != FL_CONN_HEAD && c->state != FL_CONN_FRAMING && c->state != FL_CONN_BODY) return;
    if (c->state != FL_CONN_BODY || outcome != FL_MALFORMED) fl_buffer_clear(&c->decoder.kept);
    c->spoiled = true;
    fl_finished(r, c, (uint8_t)outcome, now_ns);
}

void fl_reactor_expire(fl_reactor *r, uint64_t now_ns) {
    for (uint32_t i = 0; i < r->conns_used; i++) {
        fl_conn *c = r->conns[i];
        if (c->state != FL_CONN_FREE && c->deadline_ns && now_ns > c->deadline_ns) fl_reactor_abort(r, c, FL_TIMEOUT, now_ns);
    }
}

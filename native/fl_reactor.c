/* The reactor's sockets: one epoll for all of them, reads with the kernel's receive stamp, the drain. What the bytes mean is
 * fl_response.c; connections, sending and records are fl_connection.c.
 */
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

/* With hundreds of streams a connection's memory is cold by the time its next event comes: fetch it during the read before. */
static inline void fl_prefetch_conn(const fl_reactor *r, uint32_t slot) {
    if (slot >= r->conns_used) return;
    const char *c = (const char *)r->conns[slot];
    for (size_t at = 0; at < sizeof(fl_conn); at += 64) __builtin_prefetch(c + at);
}

/* And what its next event will be compared with, during its own. */
static inline void fl_prefetch(const fl_conn *c) {
    const uint8_t *expected = c->decoder.template.bytes.bytes;
    if (c->state != FL_CONN_BODY || expected == NULL) return;
    for (size_t at = 0; at < 256; at += 64) __builtin_prefetch(expected + at);
}

/* Read until the socket is empty. `closing`: epoll saw the peer's end, so read on to meet it. */
void fl_readable(fl_reactor *r, fl_conn *c, bool closing) {
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

/* Wait for more to read, for at most `wait_ns`: for the first ready socket, or in batches for the next batch. Returns as epoll_wait. */
static int fl_wait(const fl_reactor *r, struct epoll_event *events, uint64_t wait_ns) {
    if (r->interval_ns) wait_ns = r->interval_ns;
    struct timespec t = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
    if (r->interval_ns) {
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); /* woken early: the batch is a little smaller */
        return epoll_wait(r->epoll_fd, events, FL_EVENTS_A_CALL, 0);
    }
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
    if (r->interval_ns && read(r->timer_fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) return -1;
    r->late = start - r->looked_ns > FL_LATE_NS;
    n = epoll_wait(r->epoll_fd, events, FL_EVENTS_A_CALL, 0);
    for (;;) {
        if (n < 0) return errno == EINTR ? 1 : -1;
        for (int i = 0; i < n; i++) {
            if (i + 1 < n) fl_prefetch_conn(r, events[i + 1].data.u32);
            fl_handle(r, &events[i]);
        }
        r->looked_ns = fl_mono_ns();
        uint64_t spent = r->looked_ns - start;
        if (n == FL_EVENTS_A_CALL) {
            if (spent >= budget_ns) break;
            n = epoll_wait(r->epoll_fd, events, FL_EVENTS_A_CALL, 0);
        } else {
            /* Nothing for Python to do and more to come soon: waiting here is cheaper than a turn of its loop. */
            if (r->notices_used || spent + r->interval_ns >= r->linger_ns) break;
            n = fl_wait(r, events, r->linger_ns - spent);
            if (n == 0 && r->interval_ns == 0) break;
        }
    }
    fl_count(&r->shared, FL_C_PASSES, 1);
    atomic_store_explicit(&r->shared.counters[FL_C_OFFSET_STEPS], r->clock.steps, memory_order_relaxed);
    return n == FL_EVENTS_A_CALL;
}

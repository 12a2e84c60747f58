/* The reactor's sockets: one epoll for all of them, reads with the kernel's receive stamp, the drain. What the bytes mean is
 * fl_response.c; connections, sending and records are fl_connection.c.
 */
#define _GNU_SOURCE
#include "fl_reactor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "fl_connection.h"

_Static_assert(FL_NO_SLOT >= FL_MAX_SLOTS, "no connection has it");

int fl_reactor_init(fl_reactor *r, void *shared, uint64_t token_capacity, uint64_t record_capacity, uint64_t epoch_ns, uint16_t worker) {
    assert(r != NULL && shared != NULL);
    *r = (fl_reactor){.epoch_ns = epoch_ns, .worker = worker, .read_id = 1, .due_ns = UINT64_MAX, .sent = FL_NO_SLOT};
    fl_shared_attach(&r->shared, shared, token_capacity, record_capacity);
    r->scratch = malloc(FL_SCRATCH_BYTES);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    r->due_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    r->rest_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->scratch == NULL || r->epoll_fd < 0 || r->timer_fd < 0 || r->due_fd < 0 || r->rest_fd < 0) return -1;
    /* The due moment as an edge: it ends a wait, but does not keep the epoll descriptor readable. A rest does. */
    struct epoll_event due = {.events = EPOLLIN | EPOLLET, .data = {.u32 = FL_NO_SLOT}}, rest = {.events = EPOLLIN, .data = {.u32 = FL_NO_SLOT}};
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->due_fd, &due) < 0 || epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->rest_fd, &rest) < 0) return -1;
    r->looked_ns = fl_clock_sync(&r->clock);
    return 0;
}

fl_dialect *fl_reactor_dialects(fl_reactor *r, uint32_t count) {
    assert(r->dialects == NULL && count > 0 && count <= FL_MAX_DIALECTS);
    r->dialects = calloc(count, sizeof *r->dialects);
    if (r->dialects != NULL) r->dialects_used = count;
    return r->dialects;
}

void fl_reactor_free(fl_reactor *r) {
    for (uint32_t i = 0; i < r->conns_used; i++) {
        if (r->conns[i] == NULL) continue;
        fl_reactor_close(r, i);
        free(r->conns[i]);
    }
    free(r->conns);
    free(r->dialects);
    free(r->free_slots);
    free(r->notices);
    free(r->scratch);
    fl_buffer_free(&r->arena);
    int fds[] = {r->epoll_fd, r->timer_fd, r->due_fd, r->rest_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0) close(fds[i]);
    *r = (fl_reactor){.epoll_fd = -1, .timer_fd = -1, .due_fd = -1, .rest_fd = -1};
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

bool fl_readable(fl_reactor *r, fl_conn *c, bool closing) {
    for (;;) {
        uint64_t stamp_ns;
        if (c->eof) return true;
        if (c->state == FL_CONN_FRAMING && !c->tls) {
            c->missed = true;
            return true;
        }
        fl_prefetch(c);
        ssize_t n = fl_receive(r, c->fd, &stamp_ns);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
        if (n <= 0) {
            int error = n < 0 ? errno : 0;
            if (c->tls && c->state != FL_CONN_IDLE) {
                c->eof = true;
                (void)fl_notice_add(r, c, FL_N_CIPHER_EOF);
            } else {
                fl_ended(r, c, error, stamp_ns);
            }
            return true;
        }
        if (c->tls) fl_ciphertext(r, c, (size_t)n, stamp_ns);
        else fl_arrived(r, c, r->scratch, (size_t)n, stamp_ns);
        if (closing) continue;
        if ((size_t)n < FL_SCRATCH_BYTES) return true; /* edge-triggered: a short read means empty, epoll(7) Q9 */
        if (r->read_ns >= r->due_ns) return false;
    }
}

/* --- the drain ----------------------------------------------------------------------------------------------------------- */

/* Take what epoll returned as the batch at hand; false when it failed. */
static bool fl_take_batch(fl_reactor *r, long n) {
    r->batch_at = 0;
    r->batch_used = n > 0 ? (int)n : 0;
    return n >= 0;
}

/* Fetch what is ready now. */
static bool fl_fetch(fl_reactor *r) { return fl_take_batch(r, epoll_wait(r->epoll_fd, r->batch, FL_EVENTS_A_CALL, 0)); }

/* Wait for more to read, for at most `wait_ns`: for the first ready socket, or in batches for the next batch; the due moment ends
 * either. False when it failed. */
static bool fl_wait(fl_reactor *r, uint64_t wait_ns) {
    if (r->interval_ns) wait_ns = r->interval_ns;
    struct timespec t = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
    if (r->interval_ns) {
        struct pollfd due = {.fd = r->due_fd, .events = POLLIN};
        (void)ppoll(&due, 1, &t, NULL); /* woken early: the batch is a little smaller */
        return fl_fetch(r);
    }
#ifdef SYS_epoll_pwait2
    long n = syscall(SYS_epoll_pwait2, r->epoll_fd, r->batch, FL_EVENTS_A_CALL, &t, NULL, (size_t)0);
    if (n >= 0 || errno != ENOSYS) return fl_take_batch(r, n);
#endif
    return fl_take_batch(r, epoll_wait(r->epoll_fd, r->batch, FL_EVENTS_A_CALL, (int)(t.tv_nsec / 1000000))); /* before Linux 5.11: whole ms */
}

/* Handle one event; false when its socket must be read on. An event may be old, its slot given to another connection by now: then
 * looking at that one is needless and harmless. */
static bool fl_handle(fl_reactor *r, const struct epoll_event *event) {
    fl_conn *c = fl_reactor_conn(r, event->data.u32);
    if (c == NULL) return true;
    if ((event->events & EPOLLOUT) && c->out_bytes) {
        fl_flush(c);
        r->read_ns = fl_mono_ns(); /* a large request takes its time: what is due must see it */
        if (c->out_bytes == 0) {
            c->next_sent = r->sent;
            r->sent = c->slot;
        }
    }
    if ((event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return true;
    return fl_readable(r, c, (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

/* Handle the batch at hand; false when it had to give way to what is due. */
static bool fl_work(fl_reactor *r, uint64_t start) {
    while (r->batch_at < r->batch_used) {
        if (r->read_ns >= r->due_ns && r->read_ns - start >= FL_DUE_SHARE_NS) return false;
        if (r->batch_at + 1 < r->batch_used) fl_prefetch_conn(r, r->batch[r->batch_at + 1].data.u32);
        if (fl_handle(r, &r->batch[r->batch_at])) r->batch_at++;
    }
    return true;
}

int fl_reactor_drain(fl_reactor *r, uint64_t budget_ns) {
    uint64_t start = fl_clock_sync(&r->clock), count;
    bool rest = r->batch_at < r->batch_used, full = true;
    if (r->interval_ns && read(r->timer_fd, &count, sizeof count) < 0 && errno != EAGAIN) return -1;
    if (rest && read(r->rest_fd, &count, sizeof count) < 0 && errno != EAGAIN) return -1;
    r->late = start - r->looked_ns > FL_LATE_NS;
    r->read_ns = start;
    r->sent = FL_NO_SLOT;
    for (bool fetched = rest || fl_fetch(r);;) {
        if (!fetched) return errno == EINTR ? 1 : -1;
        if (!fl_work(r, start)) {
            count = 1;
            if (write(r->rest_fd, &count, sizeof count) < 0) return -1;
            break;
        }
        r->looked_ns = fl_mono_ns();
        uint64_t spent = r->looked_ns - start;
        full = rest || r->batch_used == FL_EVENTS_A_CALL;
        rest = false;
        if (full) {
            if (spent >= budget_ns || (r->looked_ns >= r->due_ns && spent >= FL_DUE_SHARE_NS)) break;
            fetched = fl_fetch(r);
        } else {
            /* Nothing for Python to do and more to come soon: waiting here is cheaper than a turn of its loop. */
            if (r->notices_used || spent + r->interval_ns >= r->linger_ns || r->looked_ns >= r->due_ns) break;
            fetched = fl_wait(r, r->linger_ns - spent);
            if (fetched && r->batch_used == 0 && r->interval_ns == 0) break;
        }
    }
    fl_count(&r->shared, FL_C_PASSES, 1);
    atomic_store_explicit(&r->shared.counters[FL_C_OFFSET_STEPS], r->clock.steps, memory_order_relaxed);
    return full;
}

int fl_reactor_set_due(fl_reactor *r, uint64_t due_ns) {
    struct itimerspec at = {.it_value = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)}};
    r->due_ns = due_ns ? due_ns : UINT64_MAX;
    return timerfd_settime(r->due_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

uint64_t fl_reactor_take_due(fl_reactor *r) {
    uint64_t count, due_ns = r->due_ns;
    if (due_ns == UINT64_MAX || read(r->due_fd, &count, sizeof count) < 0) return 0; /* the clock may be ahead of the timer by a moment */
    r->due_ns = UINT64_MAX;
    return due_ns;
}

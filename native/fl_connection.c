/* Connections: taking sockets over, sending requests, writing records. The receive path is fl_reactor.c. */
#define _GNU_SOURCE
#include "fl_connection.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

fl_conn *fl_reactor_conn(const fl_reactor *r, uint32_t slot) {
    if (slot >= r->conns_used) return NULL;
    fl_conn *c = r->conns[slot];
    return c->state == FL_CONN_FREE ? NULL : c;
}

/* A free connection object, reused or new; NULL when memory or slots are out. */
static fl_conn *fl_take_conn(fl_reactor *r) {
    if (r->free_used) return r->conns[r->free_slots[--r->free_used]];
    if (r->conns_used == r->conns_room) {
        uint32_t room = r->conns_room ? r->conns_room * 2 : 64;
        if (room > FL_MAX_SLOTS) return NULL;
        fl_conn **conns = realloc(r->conns, room * sizeof *conns);
        if (conns == NULL) return NULL;
        r->conns = conns;
        uint32_t *slots = realloc(r->free_slots, room * sizeof *slots);
        if (slots == NULL) return NULL;
        r->free_slots = slots;
        r->conns_room = room;
    }
    fl_conn *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->slot = r->conns_used;
    r->conns[r->conns_used++] = c;
    return c;
}

int64_t fl_reactor_open(fl_reactor *r, int fd, bool tls) {
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 && errno != ENOPROTOOPT && errno != EOPNOTSUPP) return -1;
    fl_conn *c = fl_take_conn(r);
    if (c == NULL) {
        errno = ENOMEM;
        return -1;
    }
    /* Edge-triggered and both directions once: no further epoll_ctl, and no second look at a socket that was read empty. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.u32 = c->slot}};
    c->fd = fd;
    c->state = FL_CONN_IDLE;
    c->tls = tls;
    c->reused = c->eof = c->missed = c->spoiled = false;
    c->out_bytes = 0;
    c->deadline_ns = 0;
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        int error = errno;
        c->state = FL_CONN_FREE;
        r->free_slots[r->free_used++] = c->slot;
        errno = error;
        return -1;
    }
    return (int64_t)c->slot;
}

void fl_reactor_close(fl_reactor *r, uint32_t slot) {
    fl_conn *c = fl_reactor_conn(r, slot);
    if (c == NULL) return;
    fl_release_head(r, c);
    close(c->fd); /* the last descriptor: epoll forgets it too */
    fl_decoder_free(&c->decoder);
    fl_buffer_free(&c->head);
    c->decoder.dialect = NULL;
    c->fd = -1;
    c->out_bytes = 0;
    c->state = FL_CONN_FREE;
    r->free_slots[r->free_used++] = slot;
}

/* The kernel took n bytes more. */
static void fl_advance(fl_conn *c, size_t n) {
    assert(n <= c->out_bytes);
    c->out_bytes -= n;
    while (c->out_blocks && n >= c->out->iov_len) { /* empty blocks too */
        n -= c->out->iov_len;
        c->out++;
        c->out_blocks--;
    }
    if (n == 0) return;
    c->out->iov_base = (uint8_t *)c->out->iov_base + n;
    c->out->iov_len -= n;
}

void fl_flush(fl_conn *c) {
    while (c->out_bytes && !c->eof) {
        struct msghdr message = {.msg_iov = c->out, .msg_iovlen = c->out_blocks};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return; /* EPOLLOUT continues */
        if (n < 0) { /* the read side will meet the error, or the answer that explains it */
            c->out_bytes = 0;
            return;
        }
        fl_advance(c, (size_t)n);
    }
}

uint64_t fl_reactor_send(fl_reactor *r, fl_conn *c, const fl_request *request, struct iovec *blocks, size_t count) {
    assert(c->state == FL_CONN_IDLE && count > 0 && count <= FL_MAX_BLOCKS);
    assert(r->dialects_used == 1 || request->endpoint < r->dialects_used);
    if (c->eof || c->spoiled) return 0;
    c->record = (fl_record){
        .scheduled_ns = request->scheduled_ns,
        .connect_ns = request->connect_ns,
        .request_id = request->request_id,
        .user = request->user,
        .endpoint = request->endpoint,
        .attempts = request->attempts,
        .worker = r->worker,
        .output_tokens = -1,
        .input_tokens = -1,
        .asked_tokens = request->asked_tokens,
        .flags = c->reused ? FL_RECORD_REUSED : 0,
    };
    fl_buffer_clear(&c->head);
    fl_buffer_clear(&c->decoder.kept);
    c->decoder.dialect = NULL; /* no facts of the response before this one */
    c->decoder.stop_after = request->cancel_after_events;
    c->decoder.text.limit = request->text_limit;
    fl_decoder_drop_text(&c->decoder);
    c->want_first = request->want_first;
    c->deadline_ns = request->deadline_ns;
    c->state = FL_CONN_HEAD;
    c->out_one = blocks[0];
    c->out = count == 1 ? &c->out_one : blocks;
    c->out_blocks = count;
    c->out_bytes = 0;
    for (size_t i = 0; i < count; i++) c->out_bytes += blocks[i].iov_len;
    c->record.sent_ns = fl_mono_ns();
    if (request->attempts <= 1) fl_count(&r->shared, FL_C_STARTED, 1);
    fl_flush(c);
    return c->record.sent_ns;
}

void fl_reactor_record(fl_reactor *r, const fl_record *record) {
    fl_count(&r->shared, record->outcome == FL_COMPLETED ? FL_C_COMPLETED : record->outcome == FL_CANCELLED ? FL_C_CANCELLED : FL_C_FAILED, 1);
    (void)fl_ring_write(&r->shared.records, record, sizeof *record);
}

bool fl_reactor_commit(fl_reactor *r, fl_conn *c, fl_outcome outcome, int32_t output_tokens, int32_t input_tokens, bool keep_alive,
                       uint8_t flags) {
    const fl_decoder *d = &c->decoder;
    assert(c->state == FL_CONN_DONE);
    if (d->dialect != NULL) {
        c->record.first_token_ns = d->first_token_ns;
        c->record.first_answer_ns = d->first_answer_ns;
        c->record.last_token_ns = d->last_token_ns;
        c->record.max_gap_ns = d->max_gap_ns;
        c->record.body_bytes = d->body_bytes;
        c->record.events = d->events;
        c->record.coalesced = d->coalesced;
    }
    c->record.outcome = (uint8_t)outcome;
    c->record.output_tokens = output_tokens;
    c->record.input_tokens = input_tokens;
    c->record.flags |= flags;
    fl_reactor_record(r, &c->record);
    fl_release_head(r, c);
    fl_decoder_drop_text(&c->decoder);
    c->reused = true;
    c->state = FL_CONN_IDLE;
    bool unsent = c->out_bytes != 0; /* answered before it had read the whole request */
    c->out_bytes = 0;
    return keep_alive && !c->eof && !c->spoiled && !unsent;
}

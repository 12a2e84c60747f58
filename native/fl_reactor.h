/* Receives for all connections of one worker: one epoll, kernel receive stamps, no Python per token.
 *
 * Ownership: the reactor owns the file descriptors given to it, the connections and their buffers; the request bytes being sent belong
 * to the caller and must live until they have left (`out_bytes` is 0), the request is committed or its connection closed. One thread
 * at a time may call in. `fl_reactor_drain` reads everything that is ready and leaves notices: what only Python can do (parse a head,
 * look at a finished response, decrypt). Between FL_N_HEAD and fl_reactor_body a connection is not read.
 *
 *   IDLE --send--> HEAD --head complete--> FRAMING --body--> BODY --end--> DONE --commit--> IDLE (or closed)
 */
#ifndef FL_REACTOR_H
#define FL_REACTOR_H

#include <sys/epoll.h>
#include <sys/uio.h>

#include "fl_clock.h"
#include "fl_decoder.h"
#include "fl_shared.h"

/* A response head larger than this is refused as malformed; llhttp's own limit is 80 KiB. */
#define FL_HEAD_LIMIT (80u << 10)
#define FL_SCRATCH_BYTES (256u << 10)
#define FL_EVENTS_A_CALL 512
#define FL_MAX_SLOTS (1u << 24)
#define FL_NO_SLOT UINT32_MAX
/* Blocks a request may consist of. */
#define FL_MAX_BLOCKS 64
/* Endpoints have six bits in a token sample. */
#define FL_MAX_DIALECTS (FL_ENDPOINT_MASK + 1)
/* How long a drain may read on although something is due: it keeps a schedule that is always late from starving the sockets, and is a
 * third of the lateness that is allowed. */
#define FL_DUE_SHARE_NS 30000u

typedef enum fl_conn_state { FL_CONN_FREE, FL_CONN_IDLE, FL_CONN_HEAD, FL_CONN_FRAMING, FL_CONN_BODY, FL_CONN_DONE } fl_conn_state;

/* A response head that Python has parsed: the same bytes again need no Python. Servers repeat their heads byte for byte, at least
 * within a second. An entry is replaced only while no connection is using it, so its number means one head from hit to commit. */
#define FL_KNOWN_HEADS 16
#define FL_KNOWN_HEAD_BYTES 1024u
typedef struct fl_known_head {
    uint8_t bytes[FL_KNOWN_HEAD_BYTES];
    size_t n; /* 0 = free */
    uint64_t length;
    uint32_t uses;
    uint16_t status;
    uint8_t framing, format;
} fl_known_head;

typedef struct fl_conn {
    fl_record record;
    fl_decoder decoder;
    fl_buffer head;       /* bytes of this response until its framing is known: the head and what came with it */
    size_t head_bytes;    /* length of the head proper */
    uint64_t head_stamp_ns, head_read_id;
    struct iovec *out;    /* blocks of the request that the kernel has not taken yet: the caller's, or out_one */
    size_t out_blocks, out_bytes;
    struct iovec out_one;
    uint32_t next_sent;   /* link of the list `sent` */
    uint64_t deadline_ns; /* 0 = none */
    int fd;
    uint32_t slot;
    uint8_t state;
    uint8_t known_head;   /* number of the known head it has at hand, from 1; 0 = none */
    bool want_first;      /* tell when the first content event comes */
    bool tls;             /* bytes are ciphertext: hand them to Python */
    bool reused;          /* it has carried a request before this one */
    bool eof;             /* the peer closed, or the connection failed */
    bool missed;          /* it became readable while nobody could read it */
    bool spoiled;         /* bytes came that belong to no response: it cannot be used again */
} fl_conn;

typedef enum fl_notice_kind {
    FL_N_HEAD = 1,   /* a response head is complete; bytes: the head */
    FL_N_FINISHED,   /* a request is over; code: outcome, or FL_STALE; bytes: usage event, whole body or example */
    FL_N_CLOSED,     /* an idle connection was closed by the server */
    FL_N_CIPHER,     /* TLS: ciphertext and its stamp */
    FL_N_CIPHER_EOF, /* TLS: the peer closed */
    FL_N_FIRST,      /* the first content event came; only where the request asked for it */
} fl_notice_kind;

/* Instead of an outcome: a reused connection ended before any byte of the response; the server had closed it between responses. */
#define FL_STALE 255

typedef struct fl_notice {
    uint32_t slot;
    uint8_t kind, code, known_head;
    const uint8_t *bytes; /* NULL with at/n: in the arena */
    size_t at, n;
    uint64_t stamp_ns, read_ns;
} fl_notice;

typedef struct fl_reactor {
    fl_shared shared;
    fl_clock clock;
    fl_dialect *dialects; /* by endpoint; a single one serves all of them */
    uint32_t dialects_used;
    fl_conn **conns;
    uint32_t *free_slots;
    uint32_t conns_used, conns_room, free_used;
    fl_notice *notices;
    size_t notices_used, notices_room;
    fl_buffer arena; /* ciphertext between the read and Python */
    uint8_t *scratch;
    uint64_t epoch_ns, read_id, looked_ns, read_ns;
    fl_known_head known_heads[FL_KNOWN_HEADS];
    uint32_t next_head; /* where to look for room first */
    uint32_t sent;    /* list of the connections whose requests left entirely during this drain; FL_NO_SLOT ends it */
    fl_conn *current; /* whose bytes the decoder is at */
    uint64_t interval_ns; /* between batches; 0 = every socket as soon as it is ready */
    uint64_t linger_ns; /* how long a drain may wait for more once it has nothing for Python; 0 = not at all */
    uint64_t due_ns; /* when Python wants to be called next; UINT64_MAX = never */
    struct epoll_event batch[FL_EVENTS_A_CALL]; /* edges fetched from epoll: it will not tell them again */
    int batch_at, batch_used;                   /* those not handled yet, because something else was due */
    int epoll_fd, timer_fd, due_fd;
    int rest_fd; /* an eventfd, readable while a batch is left over, so that the epoll descriptor is */
    uint16_t worker;
    bool late; /* this pass comes after the sockets were not looked at for FL_LATE_NS */
    bool out_of_memory;
} fl_reactor;

/* Everything a request carries into its record. */
typedef struct fl_request {
    uint64_t scheduled_ns, connect_ns, request_id, deadline_ns;
    uint32_t user, asked_tokens;
    uint32_t text_limit;          /* bytes of generated text to keep; 0 = none */
    uint32_t cancel_after_events; /* end the response as cancelled at this content event; 0 = never */
    uint8_t endpoint, attempts;
    bool want_first;
} fl_request;

/* All return 0 or a positive value on success and -1 with errno set on failure, unless said otherwise. */
int fl_reactor_init(fl_reactor *r, void *shared, uint64_t token_capacity, uint64_t record_capacity, uint64_t epoch_ns, uint16_t worker);
/* Room for so many dialects, to be filled in before anything is sent; NULL when memory is out. */
fl_dialect *fl_reactor_dialects(fl_reactor *r, uint32_t count);
void fl_reactor_free(fl_reactor *r);

/* Take over a connected non-blocking socket; returns its slot. */
int64_t fl_reactor_open(fl_reactor *r, int fd, bool tls);
void fl_reactor_close(fl_reactor *r, uint32_t slot);
fl_conn *fl_reactor_conn(const fl_reactor *r, uint32_t slot); /* NULL when there is none */

/* Start a request: stamp, send what the kernel takes of its blocks, keep the rest for later. With TLS they are ciphertext already. An
 * array of several blocks must live as long as the bytes and is used up; a single block is copied.
 * Returns the moment of sending, or 0 when the connection turned out to be closed. */
uint64_t fl_reactor_send(fl_reactor *r, fl_conn *c, const fl_request *request, struct iovec *blocks, size_t count);

/* Look at all sockets that are ready, for at most budget_ns. Returns 1 when something may still be ready, else 0. It ends early when
 * the due moment comes; what it had fetched and not looked at is kept for the next drain, and makes the epoll descriptor readable. */
int fl_reactor_drain(fl_reactor *r, uint64_t budget_ns);
/* When a drain is to give way to Python: an absolute CLOCK_MONOTONIC time, 0 = never. Makes due_fd readable then. */
int fl_reactor_set_due(fl_reactor *r, uint64_t due_ns);
/* The due moment that has come, which is then none any more; 0 when none has. */
uint64_t fl_reactor_take_due(fl_reactor *r);
/* The head at hand was parsed: decode what follows it, and remember the head. `interim`: it was a 1xx, the real head follows. */
void fl_reactor_body(fl_reactor *r, fl_conn *c, uint16_t status, fl_framing framing, uint64_t length, fl_format format);
void fl_reactor_interim(fl_reactor *r, fl_conn *c);
/* TLS: decrypted bytes of a read, or the end of the plaintext. */
void fl_reactor_feed(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns, uint64_t read_ns);
void fl_reactor_feed_eof(fl_reactor *r, fl_conn *c);
/* End a request from this side (timeout, cancelled, unusable head); leaves a notice. */
void fl_reactor_abort(fl_reactor *r, fl_conn *c, fl_outcome outcome, uint64_t now_ns);
void fl_reactor_expire(fl_reactor *r, uint64_t now_ns);
/* Write the record of a request that is over, with `flags` added to its own. Returns true when the connection can carry another. */
bool fl_reactor_commit(fl_reactor *r, fl_conn *c, fl_outcome outcome, int32_t output_tokens, int32_t input_tokens, bool keep_alive,
                       uint8_t flags);
/* Write a record for a request that never got a connection. */
void fl_reactor_record(fl_reactor *r, const fl_record *record);

#endif

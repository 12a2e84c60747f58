/* Responses: what bytes of one connection mean. Heads go to Python, bodies through the decoder, samples into the rings.
 *
 * The sockets they come from are fl_reactor.c's, connections and requests fl_connection.c's.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <string.h>

#include "fl_connection.h"

/* --- samples ------------------------------------------------------------------------------------------------------------- */

static void fl_token_sample(void *context, uint64_t stamp_ns, uint64_t gap_ns, uint64_t flags) {
    fl_reactor *r = context;
    const fl_conn *c = r->current;
    if ((flags & FL_TOKEN_FIRST) && c->want_first) (void)fl_notice_add(r, c, FL_N_FIRST);
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
    notice->known_head = c->known_head;
    notice->bytes = c->decoder.kept.bytes;
    notice->n = c->decoder.dialect != NULL ? c->decoder.kept.used : 0;
}

static void fl_count_events(fl_reactor *r, const fl_conn *c, uint32_t events_before, uint32_t coalesced_before) {
    uint32_t events = c->decoder.events - events_before, coalesced = c->decoder.coalesced - coalesced_before;
    if (events) fl_count(&r->shared, FL_C_EVENTS, events);
    if (coalesced == 0) return;
    fl_count(&r->shared, FL_C_COALESCED, coalesced);
    if (r->late) fl_count(&r->shared, FL_C_COALESCED_LATE, coalesced);
}

static void fl_body_arrived(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns, uint64_t read_id) {
    fl_sink sink = fl_reactor_sink(r);
    uint32_t events = c->decoder.events, coalesced = c->decoder.coalesced;
    size_t used = 0;
    r->current = c;
    fl_progress progress = fl_decoder_feed(&c->decoder, bytes, n, stamp_ns, read_id, &sink, &used);
    fl_count_events(r, c, events, coalesced);
    if (progress == FL_MORE) return;
    if (used < n || c->decoder.outcome == FL_CANCELLED) c->spoiled = true; /* what comes now belongs to no response */
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

/* --- heads --------------------------------------------------------------------------------------------------------------- */

void fl_release_head(fl_reactor *r, fl_conn *c) {
    if (c->known_head) r->known_heads[c->known_head - 1].uses--;
    c->known_head = 0;
}

static void fl_use_head(fl_reactor *r, fl_conn *c, uint32_t at) {
    fl_release_head(r, c);
    r->known_heads[at].uses++;
    c->known_head = (uint8_t)(at + 1);
}

/* Keep the head at hand in an entry nobody uses; without one it is simply not kept. */
static void fl_remember_head(fl_reactor *r, fl_conn *c, uint16_t status, fl_framing framing, uint64_t length, fl_format format) {
    if (c->head_bytes > FL_KNOWN_HEAD_BYTES) return;
    for (uint32_t tried = 0; tried < FL_KNOWN_HEADS; tried++) {
        uint32_t at = r->next_head;
        fl_known_head *known = &r->known_heads[at];
        r->next_head = (r->next_head + 1) % FL_KNOWN_HEADS;
        if (known->uses) continue;
        memcpy(known->bytes, c->head.bytes, c->head_bytes);
        known->n = c->head_bytes;
        known->length = length;
        known->status = status;
        known->framing = (uint8_t)framing;
        known->format = (uint8_t)format;
        fl_use_head(r, c, at);
        return;
    }
}

static void fl_start_body(fl_reactor *r, fl_conn *c, uint16_t status, fl_framing framing, uint64_t length, fl_format format) {
    c->record.status = status;
    c->state = FL_CONN_BODY;
    if (format != FL_FORMAT_WHOLE) c->record.flags |= FL_RECORD_STREAMED;
    fl_decoder_start(&c->decoder, &r->dialects[r->dialects_used > 1 ? c->record.endpoint : 0], framing, length, format);
    fl_body_arrived(r, c, c->head.bytes + c->head_bytes, c->head.used - c->head_bytes, c->head_stamp_ns, c->head_read_id);
    fl_buffer_clear(&c->head);
}

/* Go on without Python when the head at hand is a known one. */
static bool fl_start_by_known_head(fl_reactor *r, fl_conn *c) {
    for (uint32_t at = 0; at < FL_KNOWN_HEADS; at++) {
        const fl_known_head *known = &r->known_heads[at];
        if (known->n != c->head_bytes || memcmp(known->bytes, c->head.bytes, known->n) != 0) continue;
        fl_use_head(r, c, at);
        fl_start_body(r, c, known->status, (fl_framing)known->framing, known->length, (fl_format)known->format);
        return true;
    }
    return false;
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
    if (fl_start_by_known_head(r, c)) return;
    c->state = FL_CONN_FRAMING;
    fl_notice *notice = fl_notice_add(r, c, FL_N_HEAD);
    if (notice == NULL) return;
    notice->bytes = c->head.bytes;
    notice->n = c->head_bytes;
}

void fl_arrived(fl_reactor *r, fl_conn *c, const uint8_t *bytes, size_t n, uint64_t stamp_ns) {
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
void fl_ended(fl_reactor *r, fl_conn *c, int error, uint64_t stamp_ns) {
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
        uint32_t events = c->decoder.events, coalesced = c->decoder.coalesced;
        r->current = c;
        fl_decoder_eof(&c->decoder, &sink); /* may complete a last event */
        fl_count_events(r, c, events, coalesced);
        fl_finished(r, c, c->decoder.outcome, stamp_ns);
    }
}

/* --- what Python asks for after a notice --------------------------------------------------------------------------------- */

void fl_reactor_body(fl_reactor *r, fl_conn *c, uint16_t status, fl_framing framing, uint64_t length, fl_format format) {
    assert(c->state == FL_CONN_FRAMING);
    fl_remember_head(r, c, status, framing, length, format);
    fl_start_body(r, c, status, framing, length, format);
    if (c->missed) {
        c->missed = false;
        (void)fl_readable(r, c, true);
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
        (void)fl_readable(r, c, true);
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

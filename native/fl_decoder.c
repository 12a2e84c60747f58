#include "fl_decoder.h"

#include <assert.h>
#include <string.h>

#define FL_KEEP_BYTES (64u << 10)

void fl_decoder_start(fl_decoder *d, const fl_dialect *dialect, fl_framing framing, uint64_t length, fl_format format) {
    assert(d != NULL && dialect != NULL);
    /* Nothing to look for, as in an answer of any HTTP endpoint: then it is no stream of events, whatever its type says. */
    if (dialect->matcher.nodes_used == 1) format = FL_FORMAT_WHOLE;
    fl_lines_reset(&d->lines, format == FL_FORMAT_NDJSON);
    fl_buffer_trim(&d->kept, FL_KEEP_BYTES);
    fl_body_start(&d->body, framing, length);
    fl_decoder_drop_text(d);
    d->dialect = dialect;
    d->format = (uint8_t)format;
    d->outcome = FL_COMPLETED;
    d->ended = d->has_usage = false;
    d->stamp_ns = d->read_id = d->last_event_read = 0;
    d->first_token_ns = d->first_answer_ns = d->last_token_ns = d->max_gap_ns = d->body_bytes = 0;
    d->events = d->coalesced = 0;
}

void fl_decoder_drop_text(fl_decoder *d) {
    fl_buffer_trim(&d->text.bytes, d->text.limit ? FL_KEEP_TEXT_BYTES : 0);
    d->text.truncated = false;
}

void fl_decoder_free(fl_decoder *d) {
    fl_buffer_free(&d->text.bytes);
    fl_lines_free(&d->lines);
    fl_buffer_free(&d->kept);
    fl_buffer_free(&d->template.bytes);
    d->template.ready = false;
}

typedef struct fl_feed {
    fl_decoder *d;
    const fl_sink *sink;
} fl_feed;

static void fl_on_content(fl_decoder *d, uint32_t classes, const fl_sink *sink) {
    uint64_t gap = 0, flags = 0;
    if (d->events == 0) {
        d->first_token_ns = d->stamp_ns;
        flags = FL_TOKEN_FIRST;
    } else if (d->last_event_read == d->read_id) {
        d->coalesced++;
        flags = FL_TOKEN_COALESCED;
    } else {
        gap = d->stamp_ns > d->last_token_ns ? d->stamp_ns - d->last_token_ns : 0;
        if (gap > d->max_gap_ns) d->max_gap_ns = gap;
    }
    if (d->first_answer_ns == 0 && (classes & (FL_HAS_TEXT | FL_HAS_TOOL))) d->first_answer_ns = d->stamp_ns;
    d->events++;
    d->last_token_ns = d->stamp_ns;
    d->last_event_read = d->read_id;
    sink->token(sink->context, d->stamp_ns, gap, flags);
}

/* Faults of the framing have no event to show; what was read with the faulty byte would depend on the split. */
static const char fl_bad_chunks[] = "not a valid chunked body", fl_too_large[] = "an event larger than 16 MiB";
_Static_assert(FL_EVENT_LIMIT == 16u << 20, "the text says so");

/* Keep the first bytes of a faulty event for the report, and stop. */
static bool fl_fault(fl_decoder *d, fl_outcome outcome, const uint8_t *bytes, size_t n) {
    d->outcome = (uint8_t)outcome;
    d->has_usage = false;
    fl_buffer_clear(&d->kept);
    (void)fl_buffer_append(&d->kept, bytes, n < FL_EXAMPLE_BYTES ? n : FL_EXAMPLE_BYTES, FL_EXAMPLE_BYTES);
    return false;
}

/* Keep the first and the last event with usage: some APIs tell the prompt's tokens at the start and the answer's at the end. */
static void fl_keep_usage(fl_decoder *d, const uint8_t *bytes, size_t n) {
    static const uint8_t separator = FL_USAGE_SEPARATOR;
    if (!d->has_usage) {
        fl_buffer_clear(&d->kept);
        d->has_usage = fl_buffer_append(&d->kept, bytes, n, FL_EVENT_LIMIT);
        d->first_usage_bytes = d->kept.used;
        return;
    }
    d->kept.used = d->first_usage_bytes;
    if (!fl_buffer_append(&d->kept, &separator, 1, 2 * FL_EVENT_LIMIT)) return;
    if (!fl_buffer_append(&d->kept, bytes, n, 2 * FL_EVENT_LIMIT)) d->kept.used = d->first_usage_bytes;
}

static bool fl_on_event(void *context, const uint8_t *bytes, size_t n) {
    const fl_feed *feed = context;
    fl_decoder *d = feed->d;
    fl_hits hits;
    if (n == 0) return true; /* an event without data is no event */
    if (d->dialect->done_bytes && n == d->dialect->done_bytes && memcmp(bytes, d->dialect->done, n) == 0) {
        d->ended = true;
        return true;
    }
    fl_capture *capture = d->text.limit ? &d->text : NULL;
    size_t text_bytes = d->text.bytes.used;
    bool truncated = d->text.truncated;
    bool valid = fl_template_scan(&d->template, &d->dialect->matcher, bytes, n, &hits, capture);
    if (!valid || (hits.classes & FL_HAS_ERROR)) {
        d->text.bytes.used = text_bytes; /* a faulty event has no text */
        d->text.truncated = truncated;
        return fl_fault(d, valid ? FL_STREAM_ERROR : FL_MALFORMED, bytes, n);
    }
    if (hits.classes & FL_HAS_FINISH) d->ended = true;
    if (hits.classes & FL_HAS_CONTENT) {
        fl_on_content(d, hits.classes, feed->sink);
        if ((hits.classes & FL_HAS_PROBE) && feed->sink->probe) feed->sink->probe(feed->sink->context, hits.probe);
        if (d->events == d->stop_after) return fl_fault(d, FL_CANCELLED, bytes, 0);
    }
    if (hits.classes & FL_HAS_USAGE) {
        fl_keep_usage(d, bytes, n);
    }
    return true;
}

/* The framing ended: hand over what is still open, and judge the stream as a whole. */
static void fl_finish(fl_decoder *d, const fl_sink *sink) {
    if (d->format == FL_FORMAT_WHOLE) return;
    fl_feed feed = {d, sink};
    if (!fl_lines_end(&d->lines, fl_on_event, &feed)) return;
    if (!d->ended && d->dialect->needs_end) (void)fl_fault(d, FL_TRUNCATED, (const uint8_t *)"", 0);
}

static bool fl_body_bytes(fl_decoder *d, const uint8_t *segment, size_t n, const fl_sink *sink) {
    d->body_bytes += n;
    if (d->format == FL_FORMAT_WHOLE) {
        size_t room = FL_WHOLE_LIMIT - d->kept.used;
        (void)fl_buffer_append(&d->kept, segment, n < room ? n : room, FL_WHOLE_LIMIT);
        return true;
    }
    fl_feed feed = {d, sink};
    bool more = fl_lines_feed(&d->lines, segment, n, fl_on_event, &feed);
    if (!more && d->outcome == FL_COMPLETED) (void)fl_fault(d, FL_MALFORMED, (const uint8_t *)fl_too_large, sizeof fl_too_large - 1);
    return more;
}

fl_progress fl_decoder_feed(fl_decoder *d, const uint8_t *bytes, size_t n, uint64_t stamp_ns, uint64_t read_id, const fl_sink *sink,
                            size_t *used) {
    const uint8_t *p = bytes, *end = bytes + n, *segment = NULL;
    size_t segment_bytes = 0;
    fl_progress progress = FL_MORE;
    assert(d->dialect != NULL && read_id != 0);
    d->stamp_ns = stamp_ns;
    d->read_id = read_id;
    for (;;) {
        fl_body_step step = fl_body_next(&d->body, &p, end, &segment, &segment_bytes);
        if (step == FL_BODY_SEGMENT && fl_body_bytes(d, segment, segment_bytes, sink)) continue;
        if (step == FL_BODY_MORE) break;
        if (step == FL_BODY_END) fl_finish(d, sink);
        if (step == FL_BODY_BAD) (void)fl_fault(d, FL_MALFORMED, (const uint8_t *)fl_bad_chunks, sizeof fl_bad_chunks - 1);
        progress = FL_DONE;
        break;
    }
    *used = (size_t)(p - bytes);
    return progress;
}

void fl_decoder_eof(fl_decoder *d, const fl_sink *sink) {
    assert(d->dialect != NULL);
    if (d->body.framing == FL_FRAME_CLOSE) {
        fl_finish(d, sink);
    } else {
        /* The end marker may have come although the last chunk did not: then the content is whole. */
        if (d->format != FL_FORMAT_WHOLE && d->ended) fl_finish(d, sink);
        else (void)fl_fault(d, FL_TRUNCATED, (const uint8_t *)"", 0);
    }
}

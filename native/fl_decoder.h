/* Decodes the body of one response into facts and token samples: framing, events, content.
 *
 * The caller stamps the moment the bytes arrived; the decoder reads no clock and owns no socket. Invariant: any split of the same
 * bytes gives the same events, outcome and texts; only which events shared a read (coalesced) depends on the split, as it must.
 */
#ifndef FL_DECODER_H
#define FL_DECODER_H

#include "fl_body.h"
#include "fl_json.h"
#include "fl_layout.h"
#include "fl_lines.h"
#include "fl_template.h"

typedef enum fl_format {
    FL_FORMAT_SSE,
    FL_FORMAT_NDJSON,
    FL_FORMAT_WHOLE, /* keep the body whole for Python: non-streamed replies and HTTP errors */
} fl_format;

/* Stands between two kept events; no JSON text holds this byte unescaped. */
#define FL_USAGE_SEPARATOR 0x1e

typedef enum fl_progress { FL_MORE, FL_DONE } fl_progress;

/* Bodies kept whole are cut here; what is past it is counted and dropped. */
#define FL_WHOLE_LIMIT (16u << 20)
/* What a connection may hold on to for the text of its next response. */
#define FL_KEEP_TEXT_BYTES (16u << 10)
/* How much of a faulty event is kept as the example for the report. */
#define FL_EXAMPLE_BYTES 512u

/* Where token samples go. */
typedef struct fl_sink {
    void (*token)(void *context, uint64_t stamp_ns, uint64_t gap_ns, uint64_t flags);
    void (*probe)(void *context, uint64_t server_clock_ns);
    void *context;
} fl_sink;

/* What one kind of request expects; shared by all its responses. */
typedef struct fl_dialect {
    fl_matcher matcher;
    uint8_t done[32]; /* the end marker, such as [DONE]; empty = none */
    size_t done_bytes;
    bool needs_end; /* a stream without end marker and finish reason is truncated */
} fl_dialect;

typedef struct fl_decoder {
    const fl_dialect *dialect;
    fl_body body;
    fl_lines lines;
    fl_template template;
    fl_capture text; /* of streams, where its limit asks for it; the limit is kept from response to response */
    fl_buffer kept;  /* WHOLE: the body. Streams: the first and the last event with usage, or the faulty event */
    size_t first_usage_bytes; /* length of the first event with usage */
    uint8_t format;
    uint8_t outcome; /* FL_COMPLETED unless the content itself says otherwise */
    bool ended;      /* end marker or finish reason seen */
    bool has_usage;
    uint32_t stop_after; /* end as cancelled at this content event; 0 = never. Kept from response to response */
    /* the read at hand */
    uint64_t stamp_ns, read_id, last_event_read;
    /* facts of the response */
    uint64_t first_token_ns, first_answer_ns, last_token_ns, max_gap_ns, body_bytes;
    uint32_t events, coalesced;
} fl_decoder;

void fl_decoder_start(fl_decoder *d, const fl_dialect *dialect, fl_framing framing, uint64_t length, fl_format format);
void fl_decoder_free(fl_decoder *d);
/* Forget the text kept of a response. */
void fl_decoder_drop_text(fl_decoder *d);

/* Feed bytes of one read. Returns FL_DONE when the response is over, well (outcome FL_COMPLETED) or not; *used then tells how many
 * bytes belonged to it. `read_id` differs between reads and is never 0. */
fl_progress fl_decoder_feed(fl_decoder *d, const uint8_t *bytes, size_t n, uint64_t stamp_ns, uint64_t read_id, const fl_sink *sink,
                            size_t *used);

/* The connection ended in the middle of the body: close framing ends well here, everything else is truncated. */
void fl_decoder_eof(fl_decoder *d, const fl_sink *sink);

#endif

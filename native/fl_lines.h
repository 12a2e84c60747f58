/* Cuts a byte stream into events: server-sent events (WHATWG HTML, section 9.2) or one JSON text a line (NDJSON).
 *
 * Knows nothing of sockets, HTTP or time. Invariant: any split of the same bytes gives the same events. An event that lies whole
 * in the bytes fed is handed over in place, without a copy; only what straddles two feeds is copied.
 */
#ifndef FL_LINES_H
#define FL_LINES_H

#include <stdbool.h>

#include "fl_buffer.h"

/* An event larger than this is refused: a server that never ends its line must not eat the load box. */
#define FL_EVENT_LIMIT (16u << 20)

typedef struct fl_lines {
    fl_buffer partial;    /* a line whose end has not come yet */
    fl_buffer data;       /* data of the open event, when it could not stay in place */
    const uint8_t *view;  /* data of the open event in place; valid only while a feed runs */
    size_t view_bytes;
    bool open;            /* the open event has data */
    bool in_view;         /* ... in view, not in data */
    bool ndjson;
    bool skip_lf;         /* the last feed ended with CR: a LF now belongs to it */
    bool started;         /* the byte-order mark can only be at the very start */
} fl_lines;

/* Returns false to stop (the feed then returns false too). */
typedef bool (*fl_event_fn)(void *context, const uint8_t *bytes, size_t n);

void fl_lines_reset(fl_lines *l, bool ndjson);
void fl_lines_free(fl_lines *l);
/* False when an event passed FL_EVENT_LIMIT or the callback stopped. */
bool fl_lines_feed(fl_lines *l, const uint8_t *bytes, size_t n, fl_event_fn event, void *context);
/* The stream ended: an event without its closing blank line still counts (servers forget it after their last event). */
bool fl_lines_end(fl_lines *l, fl_event_fn event, void *context);

#endif

#include "fl_lines.h"

#include <assert.h>
#include <string.h>

/* Buffers above this are given back between responses. */
#define FL_KEEP_BYTES (64u << 10)

void fl_lines_reset(fl_lines *l, bool ndjson) {
    assert(l != NULL);
    fl_buffer_trim(&l->partial, FL_KEEP_BYTES);
    fl_buffer_trim(&l->data, FL_KEEP_BYTES);
    l->view = NULL;
    l->view_bytes = 0;
    l->open = l->in_view = l->skip_lf = l->started = false;
    l->ndjson = ndjson;
}

void fl_lines_free(fl_lines *l) {
    fl_buffer_free(&l->partial);
    fl_buffer_free(&l->data);
}

/* Move the open event's data from the caller's bytes into our buffer, before those go away or more data is joined to it. */
static bool fl_take_view(fl_lines *l) {
    if (!l->in_view) return true;
    l->in_view = false;
    fl_buffer_clear(&l->data);
    return fl_buffer_append(&l->data, l->view, l->view_bytes, FL_EVENT_LIMIT);
}

static bool fl_dispatch(fl_lines *l, fl_event_fn event, void *context) {
    if (!l->open) return true;
    l->open = false;
    if (l->in_view) {
        l->in_view = false;
        return event(context, l->view, l->view_bytes);
    }
    bool more = event(context, l->data.bytes, l->data.used);
    fl_buffer_clear(&l->data);
    return more;
}

/* One line without its end. `in_place`: it lies in the caller's bytes and lives until the feed returns. */
static bool fl_line(fl_lines *l, const uint8_t *p, size_t n, bool in_place, fl_event_fn event, void *context) {
    if (!l->started) {
        l->started = true;
        if (n >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF) p += 3, n -= 3;
    }
    if (l->ndjson) {
        while (n && (*p == ' ' || *p == '\t')) p++, n--;
        return n == 0 || event(context, p, n);
    }
    if (n == 0) return fl_dispatch(l, event, context);
    if (n < 4 || memcmp(p, "data", 4) != 0 || (n > 4 && p[4] != ':')) return true; /* comment, event, id, retry: not ours */
    p += n > 4 ? 5 : 4;
    n -= n > 4 ? 5 : 4;
    if (n && *p == ' ') p++, n--;
    if (!l->open && in_place) {
        l->open = l->in_view = true;
        l->view = p;
        l->view_bytes = n;
        return true;
    }
    if (!l->open) {
        l->open = true;
        fl_buffer_clear(&l->data);
        return fl_buffer_append(&l->data, p, n, FL_EVENT_LIMIT);
    }
    /* A second data line of one event is joined by a line feed. */
    return fl_take_view(l) && fl_buffer_append(&l->data, (const uint8_t *)"\n", 1, FL_EVENT_LIMIT) &&
           fl_buffer_append(&l->data, p, n, FL_EVENT_LIMIT);
}

/* First LF or CR in [p, end), or NULL. */
static const uint8_t *fl_line_end(const uint8_t *p, const uint8_t *end) {
    if (*p == '\n') return p; /* the blank line after every event */
    const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
    const uint8_t *cr = memchr(p, '\r', (size_t)((lf ? lf : end) - p));
    return cr ? cr : lf;
}

bool fl_lines_feed(fl_lines *l, const uint8_t *p, size_t n, fl_event_fn event, void *context) {
    const uint8_t *end = p + n;
    assert(l != NULL && event != NULL);
    while (p < end) {
        if (l->skip_lf) {
            l->skip_lf = false;
            if (*p == '\n') {
                p++;
                continue;
            }
        }
        const uint8_t *stop = fl_line_end(p, end);
        if (stop == NULL) {
            if (!fl_buffer_append(&l->partial, p, (size_t)(end - p), FL_EVENT_LIMIT)) return false;
            break;
        }
        l->skip_lf = *stop == '\r';
        bool more;
        if (l->partial.used) {
            if (!fl_buffer_append(&l->partial, p, (size_t)(stop - p), FL_EVENT_LIMIT)) return false;
            more = fl_line(l, l->partial.bytes, l->partial.used, false, event, context);
            fl_buffer_clear(&l->partial);
        } else {
            more = fl_line(l, p, (size_t)(stop - p), true, event, context);
        }
        if (!more) return false;
        p = stop + 1;
    }
    return fl_take_view(l);
}

bool fl_lines_end(fl_lines *l, fl_event_fn event, void *context) {
    if (l->partial.used) {
        bool more = fl_line(l, l->partial.bytes, l->partial.used, false, event, context);
        fl_buffer_clear(&l->partial);
        if (!more) return false;
    }
    return fl_dispatch(l, event, context);
}

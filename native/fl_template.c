#include "fl_template.h"

#include <assert.h>
#include <string.h>

static bool fl_fits(const fl_template *t, const uint8_t *bytes, size_t n, fl_hits *hits, fl_capture *capture) {
    size_t suffix_bytes = t->bytes.used - t->prefix_bytes;
    if (n < t->bytes.used || memcmp(bytes, t->bytes.bytes, t->prefix_bytes) != 0) return false;
    const uint8_t *start = bytes + t->prefix_bytes, *close = bytes + n - suffix_bytes;
    if (memcmp(close, t->bytes.bytes + t->prefix_bytes, suffix_bytes) != 0) return false;
    /* The suffix starts with the closing quote; it must be the first one that ends the string. */
    if (fl_json_string_end(start, bytes + n) != close) return false;
    *hits = (fl_hits){.classes = t->around_classes | (close > start ? t->string_classes : 0)};
    if (capture != NULL && close > start && (t->string_classes & FL_HAS_TEXT)) fl_capture_add(capture, start, (size_t)(close - start));
    return true;
}

static void fl_learn(fl_template *t, const fl_matcher *m, const uint8_t *bytes, size_t n, const fl_hits *hits) {
    t->ready = false;
    /* Exactly one string that counts as content, no probe: then the rest of the event has all its other classes. */
    if (hits->content_strings != 1 || (hits->classes & FL_HAS_PROBE)) return;
    size_t start = hits->content_at, end = start + hits->content_bytes;
    if (n - hits->content_bytes > FL_TEMPLATE_BYTES) return;
    fl_buffer_clear(&t->bytes);
    if (!fl_buffer_append(&t->bytes, bytes, start, FL_TEMPLATE_BYTES)) return;
    if (!fl_buffer_append(&t->bytes, bytes + end, n - end, FL_TEMPLATE_BYTES)) return;
    t->matcher = m;
    t->prefix_bytes = start;
    t->around_classes = hits->classes & ~hits->content_class;
    t->string_classes = hits->content_class;
    t->ready = true;
}

bool fl_template_scan(fl_template *t, const fl_matcher *m, const uint8_t *bytes, size_t n, fl_hits *hits, fl_capture *capture) {
    assert(t != NULL && m != NULL && hits != NULL);
    if (t->ready && t->matcher == m && fl_fits(t, bytes, n, hits, capture)) return true;
    if (!fl_json_scan(m, bytes, n, hits, capture)) return false;
    fl_learn(t, m, bytes, n, hits);
    return true;
}

/* The generated text of one response, kept on request: the contents of its strings one after another, still escaped.
 *
 * Each string is valid by itself (no escape sequence, surrogate pair or UTF-8 character reaches over its end), so what they make
 * together is again the inside of one JSON string. Strings are kept whole or not at all, and after one that was not kept none is.
 */
#ifndef FL_CAPTURE_H
#define FL_CAPTURE_H

#include "fl_buffer.h"

typedef struct fl_capture {
    fl_buffer bytes;
    size_t limit;   /* of bytes; 0 = keep nothing */
    bool truncated; /* there was more */
} fl_capture;

static inline void fl_capture_add(fl_capture *c, const uint8_t *bytes, size_t n) {
    if (!c->truncated) c->truncated = !fl_buffer_append(&c->bytes, bytes, n, c->limit);
}

#endif

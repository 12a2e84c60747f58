#include "fl_body.h"

#include <assert.h>
#include <stdbool.h>

/* Extensions of one chunk, and trailers, beyond this are an attack or a fault, never an LLM server. */
#define FL_EXTRA_LIMIT 65536u

enum { S_SIZE, S_EXTENSION, S_DATA, S_DATA_CR, S_DATA_LF, S_TRAILER_START, S_TRAILER, S_TRAILER_LF, S_END };

void fl_body_start(fl_body *b, fl_framing framing, uint64_t length) {
    assert(b != NULL);
    *b = (fl_body){.framing = (uint8_t)framing, .left = framing == FL_FRAME_LENGTH ? length : 0};
    if (framing == FL_FRAME_NONE || (framing == FL_FRAME_LENGTH && length == 0)) b->state = S_END;
}

static int fl_hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static fl_body_step fl_plain_next(fl_body *b, const uint8_t **p, const uint8_t *end, const uint8_t **segment, size_t *n) {
    if (b->state == S_END) return FL_BODY_END;
    size_t have = (size_t)(end - *p);
    if (b->framing == FL_FRAME_LENGTH && have > b->left) have = (size_t)b->left;
    if (have == 0) return FL_BODY_MORE;
    *segment = *p;
    *n = have;
    *p += have;
    if (b->framing == FL_FRAME_LENGTH && (b->left -= have) == 0) b->state = S_END;
    return FL_BODY_SEGMENT;
}

/* One byte of the chunk-size line; false when it cannot be one. */
static bool fl_size_byte(fl_body *b, uint8_t c) {
    int digit = b->state == S_SIZE ? fl_hex(c) : -1;
    if (digit >= 0) {
        if (b->digits++ == 15) return false; /* 60 bits are plenty, and nothing overflows */
        b->left = b->left << 4 | (uint64_t)digit;
        return true;
    }
    if (b->digits == 0 || ++b->extra > FL_EXTRA_LIMIT) return false;
    if (c == '\n') b->state = b->left ? S_DATA : S_TRAILER_START;
    else if (c == ';' || c == ' ' || c == '\t' || c == '\r') b->state = S_EXTENSION;
    else return b->state == S_EXTENSION;
    return true;
}

/* One byte of framing (anything but chunk data); false when malformed. A bare LF is taken for CRLF, as RFC 9112 2.2 allows. */
static bool fl_frame_byte(fl_body *b, uint8_t c) {
    switch (b->state) {
    case S_SIZE:
    case S_EXTENSION: return fl_size_byte(b, c);
    case S_DATA_CR:
        b->state = c == '\r' ? S_DATA_LF : S_SIZE;
        b->left = b->digits = 0;
        b->extra = 0; /* a limit for each chunk: a long stream has many */
        return c == '\r' || c == '\n';
    case S_DATA_LF: b->state = S_SIZE; return c == '\n';
    case S_TRAILER_START:
        b->state = c == '\r' ? S_TRAILER_LF : c == '\n' ? S_END : S_TRAILER;
        return true;
    case S_TRAILER:
        if (c == '\n') b->state = S_TRAILER_START;
        return ++b->extra <= FL_EXTRA_LIMIT;
    default: b->state = S_END; return c == '\n'; /* S_TRAILER_LF */
    }
}

/* What nearly always stands between two chunks, taken in one go: CRLF, 1 to 6 hex digits that are not 0, CRLF. Anything else, or
 * too few bytes to see it all, is left to fl_frame_byte. */
static bool fl_plain_size(fl_body *b, const uint8_t **p, const uint8_t *end) {
    const uint8_t *q = *p;
    if (b->state != S_DATA_CR || end - q < 10 || q[0] != '\r' || q[1] != '\n') return false;
    uint64_t size = 0;
    uint8_t digits = 0;
    int digit;
    for (q += 2; digits < 6 && (digit = fl_hex(*q)) >= 0; q++, digits++) size = size << 4 | (uint64_t)digit;
    if (size == 0 || q[0] != '\r' || q[1] != '\n') return false;
    b->left = size;
    b->digits = digits;
    b->extra = 1; /* as the byte-wise way leaves it */
    b->state = S_DATA;
    *p = q + 2;
    return true;
}

fl_body_step fl_body_next(fl_body *b, const uint8_t **p, const uint8_t *end, const uint8_t **segment, size_t *n) {
    assert(b != NULL && *p <= end);
    if (b->framing != FL_FRAME_CHUNKED) return fl_plain_next(b, p, end, segment, n);
    while (b->state != S_END) {
        if (*p >= end) return FL_BODY_MORE;
        if (b->state == S_DATA) {
            size_t have = (size_t)(end - *p);
            if (have > b->left) have = (size_t)b->left;
            *segment = *p;
            *n = have;
            *p += have;
            if ((b->left -= have) == 0) b->state = S_DATA_CR;
            return FL_BODY_SEGMENT;
        }
        if (!fl_plain_size(b, p, end) && !fl_frame_byte(b, *(*p)++)) return FL_BODY_BAD;
    }
    return FL_BODY_END;
}

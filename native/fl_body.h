/* HTTP/1.1 message body framing (RFC 9112, sections 6 and 7.1): cuts what comes off the wire into body bytes.
 *
 * Knows nothing of heads (httptools parses those), sockets or content. Invariant: any split of the same bytes gives the same body.
 */
#ifndef FL_BODY_H
#define FL_BODY_H

#include <stddef.h>
#include <stdint.h>

typedef enum fl_framing {
    FL_FRAME_NONE,    /* no body at all (204, 304) */
    FL_FRAME_LENGTH,  /* Content-Length */
    FL_FRAME_CHUNKED, /* Transfer-Encoding: chunked */
    FL_FRAME_CLOSE    /* until the server closes */
} fl_framing;

typedef enum fl_body_step {
    FL_BODY_SEGMENT, /* *segment, *n: body bytes */
    FL_BODY_MORE,    /* all input used, the body goes on */
    FL_BODY_END,     /* the body is complete; *p is the byte after it */
    FL_BODY_BAD      /* not a valid chunked body */
} fl_body_step;

typedef struct fl_body {
    uint64_t left;  /* bytes left in the body or the chunk */
    uint32_t extra; /* bytes seen of extensions and trailers, to bound them */
    uint8_t framing, state, digits;
} fl_body;

void fl_body_start(fl_body *b, fl_framing framing, uint64_t length);
fl_body_step fl_body_next(fl_body *b, const uint8_t **p, const uint8_t *end, const uint8_t **segment, size_t *n);

#endif

/* A growable byte buffer with a hard limit. It allocates while a connection warms up and then keeps what it has. */
#ifndef FL_BUFFER_H
#define FL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct fl_buffer {
    uint8_t *bytes;
    size_t used, room;
} fl_buffer;

/* Append n bytes. False, with the buffer unchanged, when that would pass `limit` or memory is out. */
static inline bool fl_buffer_append(fl_buffer *b, const uint8_t *bytes, size_t n, size_t limit) {
    if (n > limit || b->used > limit - n) return false;
    if (b->used + n > b->room) {
        size_t room = b->room ? b->room : 256;
        while (room < b->used + n) room *= 2;
        uint8_t *grown = realloc(b->bytes, room);
        if (grown == NULL) return false;
        b->bytes = grown;
        b->room = room;
    }
    if (n) memcpy(b->bytes + b->used, bytes, n);
    b->used += n;
    return true;
}

static inline void fl_buffer_clear(fl_buffer *b) { b->used = 0; }

/* Give back what one unusually large message made it grow to. */
static inline void fl_buffer_trim(fl_buffer *b, size_t keep) {
    if (b->room > keep) {
        free(b->bytes);
        *b = (fl_buffer){0};
    }
    b->used = 0;
}

static inline void fl_buffer_free(fl_buffer *b) {
    free(b->bytes);
    *b = (fl_buffer){0};
}

#endif

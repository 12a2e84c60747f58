/* What is behind the launcher in its own file: compressed file contents, an index of the files, a trailer.

       launcher | contents of the files, in the index's order, as a zstd frame with a checksum | index | trailer

   `scripts/binary/join.py` writes it. Knows nothing of where a tree goes. Invariant: an index that was read holds only relative paths
   without "..", each below a directory named before it. */
#ifndef FL_PAYLOAD_H
#define FL_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#include "say.h"

#define FL_ID_BYTES 20
#define FL_CHUNK_BYTES (256u << 10)

typedef struct {
    char kind; /* 'd'irectory, 'f'ile, 'l'ink */
    unsigned mode;
    uint64_t bytes;
    uint32_t crc;
    const char *path;
    const char *target; /* of a link; NULL otherwise */
} fl_entry;

typedef struct {
    int fd; /* the launcher's own file */
    char id[FL_ID_BYTES + 1]; /* names the contents: the first digits of their SHA-256 */
    uint64_t payload_at, payload_bytes;
    uint64_t tree_bytes; /* of all files, unpacked */
    int64_t mtime_s; /* of all files, unpacked */
    const fl_entry *program; /* what to start */
    uint64_t interpreter_at; /* place in the program where the dynamic loader's path goes; 0: it needs none */
    uint64_t interpreter_room; /* with the closing 0 */
    fl_entry *entries;
    size_t count;
    char *text; /* holds the strings of the entries */
} fl_payload;

/* The contents of the files, one after the other. */
typedef struct {
    ZSTD_DStream *z;
    ZSTD_inBuffer input;
    bool ended;
    int fd;
    uint64_t at, left;
    unsigned char in[FL_CHUNK_BYTES];
} fl_contents;

/* Read the trailer and the index of the launcher's own file, open at `fd`. */
bool fl_payload_read(fl_payload *p, int fd, fl_why *why);

bool fl_contents_open(fl_contents *c, const fl_payload *p, fl_why *why);
/* Fill `to` with exactly the next `n` bytes. */
bool fl_contents_next(fl_contents *c, unsigned char *to, size_t n, fl_why *why);
/* Check that nothing is left and that the sum over everything is right, which the last bytes tell. */
bool fl_contents_end(fl_contents *c, fl_why *why);
void fl_contents_close(fl_contents *c);

#endif

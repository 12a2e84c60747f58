#define _GNU_SOURCE
#include "payload.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define FL_MAGIC "FLTREE01"
#define FL_INDEX_LIMIT (16u << 20)
#define FL_PATH_LIMIT 1024u
#define FL_DAMAGED "this file is damaged or was not copied completely: fetch it again and compare its SHA-256"

/* Little-endian, as both architectures it is built for are. */
typedef struct {
    char magic[8];
    uint64_t payload_at, payload_bytes, index_bytes, tree_bytes;
    int64_t mtime_s;
    uint64_t program, interpreter_at, interpreter_room;
    uint32_t index_crc, reserved;
    unsigned char sha256[32];
} fl_trailer;

static_assert(sizeof(fl_trailer) == 112, "scripts/binary/join.py packs the trailer");

static bool fl_read_at(int fd, void *to, size_t n, uint64_t at) {
    unsigned char *p = to;
    while (n) {
        ssize_t got = pread(fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        p += got;
        n -= (size_t)got;
        at += (uint64_t)got;
    }
    return true;
}

static bool fl_path_is_safe(const char *path) {
    size_t n = strlen(path);
    if (n == 0 || n > FL_PATH_LIMIT || path[0] == '/') return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) return false;
    }
    return true;
}

/* Cut the next field off; NULL when there is none. */
static char *fl_field(char **rest, char end) {
    char *field = *rest;
    char *stop = field ? strchr(field, end) : NULL;
    if (!stop) return NULL;
    *stop = 0;
    *rest = stop + 1;
    return field;
}

static bool fl_number(const char *text, int base, uint64_t limit, uint64_t *to) {
    char *end;
    errno = 0;
    *to = strtoull(text, &end, base);
    return *text >= '0' && end != text && *end == 0 && errno == 0 && *to <= limit;
}

/* "d PATH", "l PATH<tab>TARGET" or "f MODE BYTES CRC PATH", MODE in octal and CRC in hexadecimal digits after a 0. */
static bool fl_entry_read(fl_entry *e, char *line) {
    *e = (fl_entry){.kind = line[0]};
    if (line[0] == 0 || line[1] != ' ') return false;
    char *rest = line + 2;
    if (e->kind == 'f') {
        const char *mode = fl_field(&rest, ' '), *bytes = fl_field(&rest, ' '), *crc = fl_field(&rest, ' ');
        uint64_t m, c;
        if (!mode || !bytes || !crc) return false;
        if (!fl_number(mode, 8, 0777, &m) || !fl_number(bytes, 10, INT64_MAX, &e->bytes) || !fl_number(crc, 16, UINT32_MAX, &c))
            return false;
        e->mode = (unsigned)m;
        e->crc = (uint32_t)c;
    } else if (e->kind == 'l') {
        e->path = fl_field(&rest, '\t');
        e->target = rest;
        return e->path && fl_path_is_safe(e->path) && *rest && *rest != '/';
    } else if (e->kind != 'd') {
        return false;
    }
    e->path = rest;
    return fl_path_is_safe(rest);
}

static bool fl_index_read(fl_payload *p, size_t bytes) {
    size_t lines = 0;
    for (size_t i = 0; i < bytes; i++) lines += p->text[i] == '\n';
    if (lines == 0 || p->text[bytes - 1] != '\n') return false;
    p->entries = calloc(lines, sizeof *p->entries);
    if (!p->entries) return false;
    char *rest = p->text;
    uint64_t sum = 0;
    for (size_t i = 0; i < lines; i++) {
        char *line = fl_field(&rest, '\n');
        if (!line || !fl_entry_read(&p->entries[i], line)) return false;
        sum += p->entries[i].bytes;
    }
    p->count = lines;
    return sum == p->tree_bytes;
}

bool fl_payload_read(fl_payload *p, int fd, fl_why *why) {
    *p = (fl_payload){.fd = fd};
    fl_trailer t;
    struct stat st;
    if (fstat(fd, &st) != 0) return fl_because_errno(why, "this file cannot be read"), false;
    uint64_t size = (uint64_t)st.st_size;
    bool whole = size > sizeof t && fl_read_at(fd, &t, sizeof t, size - sizeof t) && memcmp(t.magic, FL_MAGIC, sizeof t.magic) == 0;
    whole = whole && t.index_bytes > 0 && t.index_bytes < FL_INDEX_LIMIT && t.payload_at < size && t.payload_bytes < size &&
            t.payload_at + t.payload_bytes + t.index_bytes + sizeof t == size;
    if (!whole) return fl_because(why, FL_DAMAGED), false;
    p->text = malloc(t.index_bytes + 1);
    if (!p->text) return fl_because_errno(why, "no memory for the index"), false;
    if (!fl_read_at(fd, p->text, t.index_bytes, t.payload_at + t.payload_bytes)) return fl_because(why, FL_DAMAGED), false;
    p->text[t.index_bytes] = 0;
    p->payload_at = t.payload_at;
    p->payload_bytes = t.payload_bytes;
    p->tree_bytes = t.tree_bytes;
    p->mtime_s = t.mtime_s;
    p->interpreter_at = t.interpreter_at;
    p->interpreter_room = t.interpreter_room;
    if (crc32(0, (const unsigned char *)p->text, (unsigned)t.index_bytes) != t.index_crc || !fl_index_read(p, t.index_bytes) ||
        t.program >= p->count || p->entries[t.program].kind != 'f' ||
        t.interpreter_at + t.interpreter_room > p->entries[t.program].bytes)
        return fl_because(why, FL_DAMAGED), false;
    p->program = &p->entries[t.program];
    for (size_t i = 0; i < FL_ID_BYTES / 2; i++) {
        p->id[2 * i] = "0123456789abcdef"[t.sha256[i] >> 4];
        p->id[2 * i + 1] = "0123456789abcdef"[t.sha256[i] & 15];
    }
    return true;
}

bool fl_contents_open(fl_contents *c, const fl_payload *p, fl_why *why) {
    c->z = ZSTD_createDStream();
    c->input = (ZSTD_inBuffer){.src = c->in};
    c->ended = false;
    c->fd = p->fd;
    c->at = p->payload_at;
    c->left = p->payload_bytes;
    if (c->z) return true;
    fl_because(why, "no memory to unpack");
    return false;
}

static bool fl_more_input(fl_contents *c) {
    if (c->input.pos < c->input.size) return true;
    size_t n = c->left < sizeof c->in ? (size_t)c->left : sizeof c->in;
    if (n == 0 || !fl_read_at(c->fd, c->in, n, c->at)) return false;
    c->at += n;
    c->left -= n;
    c->input.size = n;
    c->input.pos = 0;
    return true;
}

bool fl_contents_next(fl_contents *c, unsigned char *to, size_t n, fl_why *why) {
    ZSTD_outBuffer output = {.dst = to, .size = n};
    while (output.pos < output.size) {
        /* Without new input it may still hold back output. */
        size_t before = output.pos, code = ZSTD_decompressStream(c->z, &output, &c->input);
        bool stuck = !c->ended && code != 0 && output.pos == before && !fl_more_input(c);
        if (c->ended || ZSTD_isError(code) || stuck) return fl_because(why, FL_DAMAGED), false;
        c->ended = code == 0;
    }
    return true;
}

bool fl_contents_end(fl_contents *c, fl_why *why) {
    unsigned char surplus;
    ZSTD_outBuffer output = {.dst = &surplus, .size = 1};
    while (!c->ended) {
        size_t code = fl_more_input(c) ? ZSTD_decompressStream(c->z, &output, &c->input) : 1;
        if (ZSTD_isError(code) || output.pos || (code && c->left == 0 && c->input.pos == c->input.size))
            return fl_because(why, FL_DAMAGED), false;
        c->ended = code == 0;
    }
    if (c->left == 0 && c->input.pos == c->input.size) return true;
    fl_because(why, FL_DAMAGED);
    return false;
}

void fl_contents_close(fl_contents *c) {
    ZSTD_freeDStream(c->z);
}

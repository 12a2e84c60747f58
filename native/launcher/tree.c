#define _GNU_SOURCE
#include "tree.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* Where `scripts/binary/tree.py` puts the bundled dynamic loader. */
#define FL_INTERPRETER "lib/ld.so"

static unsigned char fl_chunk[FL_CHUNK_BYTES];
static fl_contents fl_unpacking;

void fl_tree_name(char name[FL_TREE_NAME_BYTES], const fl_payload *p, const fl_place *place) {
    uLong at = crc32(0, (const unsigned char *)place->path, (unsigned)strlen(place->path));
    snprintf(name, FL_TREE_NAME_BYTES, "%s-%08lx", p->id, at & 0xFFFFFFFFul);
}

bool fl_tree_interpreter(const fl_payload *p, const fl_place *place, const char *name, char *to, size_t room) {
    memset(to, 0, room);
    if (p->interpreter_at == 0) return true;
    int n = snprintf(to, room, "%s/%s/" FL_INTERPRETER, place->path, name);
    return n < (int)room && (uint64_t)n < p->interpreter_room;
}

/* Compare a file's contents with the sum in the index; the place of the loader's path counts as it was before it was filled in. */
static bool fl_sum_is_right(const fl_payload *p, const fl_entry *e, int fd) {
    uLong sum = crc32(0, NULL, 0);
    uint64_t at = 0;
    uint64_t from = e == p->program ? p->interpreter_at : 0, to = from ? from + p->interpreter_room : 0;
    for (;;) {
        ssize_t got = read(fd, fl_chunk, sizeof fl_chunk);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        if (got == 0) return at == e->bytes && (uint32_t)sum == e->crc;
        for (uint64_t i = from > at ? from : at; i < to && i < at + (uint64_t)got; i++) fl_chunk[i - at] = 0;
        sum = crc32(sum, fl_chunk, (unsigned)got);
        at += (uint64_t)got;
    }
}

static bool fl_link_is_right(const fl_entry *e, int dir) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, e->path, target, sizeof target - 1);
    if (n < 0) return false;
    target[n] = 0;
    return strcmp(target, e->target) == 0;
}

static const char *fl_what_is_wrong(const fl_payload *p, const fl_entry *e, int dir, bool deep) {
    struct stat st;
    if (fstatat(dir, e->path, &st, AT_SYMLINK_NOFOLLOW) != 0) return "missing";
    if (e->kind == 'd') return S_ISDIR(st.st_mode) ? NULL : "no directory";
    if (e->kind == 'l') return S_ISLNK(st.st_mode) && fl_link_is_right(e, dir) ? NULL : "another link";
    if (!S_ISREG(st.st_mode)) return "no file";
    if ((uint64_t)st.st_size != e->bytes) return "another size";
    if (st.st_mtime != p->mtime_s) return "changed later";
    /* Root may have made it readable for others. */
    if ((st.st_mode & S_IXUSR) != (e->mode & S_IXUSR) || (st.st_mode & (S_IWGRP | S_IWOTH))) return "another mode";
    if (!deep) return NULL;
    int fd = openat(dir, e->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool right = fd >= 0 && fl_sum_is_right(p, e, fd);
    if (fd >= 0) close(fd);
    return right ? NULL : "other contents";
}

bool fl_tree_is_good(const fl_payload *p, const fl_place *place, const char *name, bool deep, fl_why *why) {
    int dir = openat(place->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) {
        if (errno != ENOENT) fl_because_errno(why, name);
        return false;
    }
    const char *wrong = NULL;
    for (size_t i = 0; i < p->count && !wrong; i++) {
        wrong = fl_what_is_wrong(p, &p->entries[i], dir, deep);
        if (wrong) fl_because(why, "%s: %s", p->entries[i].path, wrong);
    }
    close(dir);
    return !wrong;
}

static bool fl_write_all(int fd, const unsigned char *bytes, size_t n) {
    while (n) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        bytes += put;
        n -= (size_t)put;
    }
    return true;
}

/* Fill an open file with its contents; `wrote` is false when it was the disk that failed. */
static bool fl_fill(const fl_payload *p, const fl_entry *e, int fd, bool *wrote, fl_why *why) {
    uLong sum = crc32(0, NULL, 0);
    for (uint64_t left = e->bytes; left;) {
        size_t n = left < sizeof fl_chunk ? (size_t)left : sizeof fl_chunk;
        if (!fl_contents_next(&fl_unpacking, fl_chunk, n, why)) return false;
        sum = crc32(sum, fl_chunk, (unsigned)n);
        if (!(*wrote = fl_write_all(fd, fl_chunk, n))) return false;
        left -= n;
    }
    if ((uint32_t)sum == e->crc) return true;
    fl_because(why, "%s in this file is damaged: fetch it again and compare its SHA-256", e->path);
    (void)p;
    return false;
}

static bool fl_write_file(const fl_payload *p, const fl_entry *e, int dir, const char *interpreter, fl_why *why) {
    int fd = openat(dir, e->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool wrote = fd >= 0;
    if (wrote && !fl_fill(p, e, fd, &wrote, why) && wrote) {
        close(fd);
        return false; /* the reason is said */
    }
    if (wrote && e == p->program && p->interpreter_at)
        wrote = pwrite(fd, interpreter, p->interpreter_room, (off_t)p->interpreter_at) == (ssize_t)p->interpreter_room;
    struct timespec times[2] = {{.tv_sec = p->mtime_s}, {.tv_sec = p->mtime_s}};
    wrote = wrote && fchmod(fd, e->mode) == 0 && futimens(fd, times) == 0;
    if (fd >= 0) {
        int error = errno;
        bool closed = close(fd) == 0; /* where a quota over a network file system is told */
        if (!wrote) errno = error;
        wrote = wrote && closed;
    }
    if (!wrote) fl_because_errno(why, e->path);
    return wrote;
}

static bool fl_unpack_into(const fl_payload *p, int dir, const char *interpreter, fl_why *why) {
    for (size_t i = 0; i < p->count; i++) {
        const fl_entry *e = &p->entries[i];
        bool done = true;
        if (e->kind == 'f') {
            if (!fl_write_file(p, e, dir, interpreter, why)) return false;
        } else if (e->kind == 'd') {
            done = mkdirat(dir, e->path, 0700) == 0;
        } else {
            done = symlinkat(e->target, dir, e->path) == 0;
        }
        if (!done) return fl_because_errno(why, e->path), false;
    }
    return fl_contents_end(&fl_unpacking, why);
}

bool fl_tree_unpack(const fl_payload *p, const fl_place *place, const char *into, const char *name, fl_why *why) {
    char interpreter[PATH_MAX];
    assert(p->interpreter_room <= sizeof interpreter);
    if (!fl_tree_interpreter(p, place, name, interpreter, sizeof interpreter))
        return fl_because(why, "%s: path too long for the program's loader", place->path), false;
    if (mkdirat(place->fd, into, 0700) != 0) return fl_because_errno(why, place->path), false;
    int dir = openat(place->fd, into, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) return fl_because_errno(why, place->path), false;
    fl_because(why, "%s/", place->path);
    bool done = false;
    if (fl_contents_open(&fl_unpacking, p, why)) {
        done = fl_unpack_into(p, dir, interpreter, why);
        fl_contents_close(&fl_unpacking);
    }
    close(dir);
    return done;
}

static bool fl_remove_inside(int fd) {
    DIR *list = fdopendir(fd);
    if (!list) {
        close(fd);
        return false;
    }
    bool done = true;
    for (struct dirent *entry; (entry = readdir(list));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        done = fl_tree_remove(dirfd(list), entry->d_name) && done;
    }
    closedir(list);
    return done;
}

bool fl_tree_remove(int dir, const char *name) {
    if (unlinkat(dir, name, 0) == 0) return true;
    if (errno != EISDIR && errno != EPERM) return false;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !fl_remove_inside(fd)) return false;
    return unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

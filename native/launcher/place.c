#define _GNU_SOURCE
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FL_WRITABLE_BY_OTHERS 022u
#define FL_MIB (1u << 20)
/* What stands for users a user namespace does not know, and so for the host's root (user_namespaces(7)). */
#define FL_OVERFLOW_UID 65534u

static bool fl_add(fl_candidate *c, const char *above, const char *below, const char *leaf) {
    bool fits = snprintf(c->above, sizeof c->above, "%s", above) < (int)sizeof c->above &&
                snprintf(c->parent, sizeof c->parent, "%s%s", above[1] || !*below ? above : "", below) < (int)sizeof c->parent &&
                snprintf(c->leaf, sizeof c->leaf, "%s", leaf) < (int)sizeof c->leaf;
    return fits;
}

/* The directory a user named: its last part is the leaf. */
static bool fl_add_named(fl_candidate *c, const char *path) {
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) return false;
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/') copy[--n] = 0;
    char *slash = strrchr(copy, '/');
    if (!slash) return fl_add(c, ".", "", copy);
    *slash = 0;
    return fl_add(c, slash == copy ? "/" : copy, "", slash + 1);
}

size_t fl_candidates(fl_candidate list[FL_CANDIDATES]) {
    size_t n = 0;
    char own[32];
    const char *at = getenv("FASTLOAD_CACHE");
    if (at && *at) return fl_add_named(&list[0], at);
    at = getenv("XDG_CACHE_HOME");
    if (at && *at == '/') n += fl_add(&list[n], at, "", "fastload");
    at = getenv("HOME");
    if (at && *at == '/') n += fl_add(&list[n], at, "/.cache", "fastload");
    snprintf(own, sizeof own, "fastload-cache-%u", (unsigned)geteuid());
    n += fl_add(&list[n], "/var/tmp", "", own);
    at = getenv("TMPDIR");
    if (at && *at == '/') n += fl_add(&list[n], at, "", own);
    n += fl_add(&list[n], "/tmp", "", own);
    n += fl_add(&list[n], "/dev/shm", "", own);
    return n;
}

/* Could somebody else exchange what is in the directory? Not where it is sticky: there only owners remove. */
static bool fl_others_may_exchange(const struct stat *st) {
    if (st->st_uid != geteuid() && st->st_uid != 0 && st->st_uid != FL_OVERFLOW_UID) return true;
    return (st->st_mode & FL_WRITABLE_BY_OTHERS) && !(st->st_mode & S_ISVTX);
}

/* Check a path without links and everything above it. */
static bool fl_chain_is_safe(const char *path, fl_why *why) {
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (;;) {
        struct stat st;
        if (stat(part, &st) != 0) return fl_because_errno(why, part), false;
        if (!S_ISDIR(st.st_mode)) return fl_because(why, "%s: not a directory", part), false;
        if (fl_others_may_exchange(&st)) return fl_because(why, "%s: other users could change what is in it", part), false;
        if (part[1] == 0) return true;
        char *slash = strrchr(part, '/');
        slash[slash == part] = 0;
    }
}

static bool fl_resolved(const char *path, char to[PATH_MAX], fl_why *why) {
    if (!realpath(path, to)) return fl_because_errno(why, path), false;
    return fl_chain_is_safe(to, why);
}

bool fl_place_open(fl_place *place, const fl_candidate *c, fl_why *why) {
    char parent[PATH_MAX];
    place->fd = -1;
    if (strcmp(c->above, c->parent) != 0) {
        /* Only a home directory of ours gets a .cache from us. */
        if (!fl_resolved(c->above, parent, why)) return false;
        if (mkdir(c->parent, 0700) != 0 && errno != EEXIST) return fl_because_errno(why, c->parent), false;
    }
    if (!fl_resolved(c->parent, parent, why)) return false;
    int n = snprintf(place->path, sizeof place->path, "%s/%s", parent[1] ? parent : "", c->leaf);
    if (n >= (int)sizeof place->path) return fl_because(why, "%s: path too long", parent), false;
    int trouble = mkdir(place->path, 0700) == 0 ? 0 : errno; /* none if it is there: a read-only disk may hold a whole cache */
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place->fd < 0) {
        bool other = errno == ELOOP || errno == ENOTDIR;
        if (errno == ENOENT) errno = trouble;
        if (other) fl_because(why, "%s: a link or a file is in the way", place->path);
        else fl_because_errno(why, place->path);
        return false;
    }
    struct stat st;
    if (fstat(place->fd, &st) != 0) {
        fl_because_errno(why, place->path);
    } else if (st.st_uid != geteuid() && st.st_uid != 0) {
        fl_because(why, "%s: belongs to user %u", place->path, (unsigned)st.st_uid);
    } else if (st.st_mode & FL_WRITABLE_BY_OTHERS) {
        fl_because(why, "%s: others may write there (mode %04o)", place->path, (unsigned)st.st_mode & 07777u);
    } else {
        return true;
    }
    close(place->fd);
    place->fd = -1;
    return false;
}

bool fl_place_has_room(const fl_place *place, uint64_t bytes, fl_why *why) {
    struct statvfs st;
    if (fstatvfs(place->fd, &st) != 0) return fl_because_errno(why, place->path), false;
    if (st.f_flag & ST_NOEXEC) return fl_because(why, "%s: mounted noexec, no program can be started there", place->path), false;
    if (st.f_flag & ST_RDONLY) return fl_because(why, "%s: read-only file system", place->path), false;
    uint64_t free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    /* A file system that does not count blocks says 0 of 0. */
    if (st.f_blocks && free_bytes < bytes) {
        fl_because(why, "%s: %llu MB free, %llu MB needed", place->path, (unsigned long long)(free_bytes / FL_MIB),
                   (unsigned long long)(bytes / FL_MIB + 1));
        return false;
    }
    return true;
}

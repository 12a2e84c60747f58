#define _GNU_SOURCE
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tree.h"

/* Two more than the one in use: going back to an earlier version stays quick, and a disk does not fill up. */
#define FL_OTHERS_KEPT 2
/* Unpacking takes a second; a minute means that who holds the lock is stopped or on a dead network disk. */
#define FL_LOCK_WAIT_S 60
#define FL_LOCK_POLL_NS 10000000L
/* Above the numbers that shells and service managers hand out. */
#define FL_USE_FD 10
/* Not a descriptor, and not the -1 of a file system without locks. */
#define FL_PRUNED (-2)
#define FL_SCRATCH ".gone-"
#define FL_USE ".use"
/* For locks and the directory, next to the files. */
#define FL_SPARE_BYTES (4u << 20)

static int fl_lock_open(int dir, const char *name) {
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    /* A tree that root made for everybody, or on a read-only disk: its locks can be read at best. */
    return fd >= 0 ? fd : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

/* Say that the tree is in use; FL_PRUNED when somebody is removing it. Its file is touched: its age is that of the last start. */
static int fl_use(int dir, const char *name) {
    char file[FL_TREE_NAME_BYTES + sizeof FL_USE];
    snprintf(file, sizeof file, "%s" FL_USE, name);
    int fd = fl_lock_open(dir, file);
    if (fd < 0) return -1;
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        bool busy = errno == EWOULDBLOCK;
        close(fd);
        return busy ? FL_PRUNED : -1;
    }
    struct stat held, named;
    int kept = FL_PRUNED; /* when the file was removed between the opening and the lock */
    if (fstat(fd, &held) == 0 && fstatat(dir, file, &named, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == named.st_ino) {
        futimens(fd, NULL);
        kept = fcntl(fd, F_DUPFD, FL_USE_FD); /* without close-on-exec: the program is to hold it */
    }
    close(fd);
    return kept;
}

/* Take the place's lock; -1 without a reason where the file system knows none, which leaves the rename to decide. */
static int fl_lock(const fl_place *place, fl_why *why) {
    int fd = fl_lock_open(place->fd, "lock");
    if (fd < 0) return fl_because_errno(why, place->path), -1;
    for (long waited_ns = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ns += FL_LOCK_POLL_NS) {
        if (errno == EINTR) continue;
        bool busy = errno == EWOULDBLOCK;
        if (!busy || waited_ns / 1000000000L >= FL_LOCK_WAIT_S) {
            if (busy) fl_because(why, "%s: another fastload has been unpacking for %d s", place->path, FL_LOCK_WAIT_S);
            close(fd);
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = FL_LOCK_POLL_NS}, NULL);
    }
    return fd;
}

static bool fl_is_tree(const char *name) {
    return strspn(name, "0123456789abcdef") == FL_ID_BYTES && name[FL_ID_BYTES] == '-' &&
           strspn(name + FL_ID_BYTES + 1, "0123456789abcdef") == 8 && strlen(name) == FL_TREE_NAME_BYTES - 1;
}

/* Remove a tree unless a program runs from it. */
static void fl_prune_one(const fl_place *place, const char *name) {
    char file[FL_TREE_NAME_BYTES + sizeof FL_USE], scratch[FL_TREE_NAME_BYTES + sizeof FL_SCRATCH];
    snprintf(file, sizeof file, "%s" FL_USE, name);
    snprintf(scratch, sizeof scratch, FL_SCRATCH "%s", name);
    int fd = fl_lock_open(place->fd, file);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && renameat(place->fd, name, place->fd, scratch) == 0) {
        unlinkat(place->fd, file, 0);
        fl_tree_remove(place->fd, scratch);
    }
    close(fd);
}

typedef struct {
    char name[FL_TREE_NAME_BYTES];
    time_t used;
} fl_other;

static int fl_by_use(const void *a, const void *b) {
    time_t x = ((const fl_other *)a)->used, y = ((const fl_other *)b)->used;
    return x < y ? 1 : x > y ? -1 : 0; /* the last used first */
}

/* Remove what killed launchers left and the trees that were used longest ago. Call it with the lock. */
static void fl_prune(const fl_place *place, const char *own) {
    fl_other others[64];
    size_t n = 0;
    int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) return;
    for (struct dirent *entry; (entry = readdir(list));) {
        if (strncmp(entry->d_name, FL_SCRATCH, sizeof FL_SCRATCH - 1) == 0) fl_tree_remove(place->fd, entry->d_name);
        if (!fl_is_tree(entry->d_name) || strcmp(entry->d_name, own) == 0 || n == sizeof others / sizeof *others) continue;
        char file[FL_TREE_NAME_BYTES + sizeof FL_USE];
        struct stat st;
        memcpy(others[n].name, entry->d_name, FL_TREE_NAME_BYTES);
        snprintf(file, sizeof file, "%s" FL_USE, others[n].name);
        others[n].used = fstatat(place->fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mtime : 0;
        n++;
    }
    closedir(list);
    qsort(others, n, sizeof *others, fl_by_use);
    for (size_t i = FL_OTHERS_KEPT; i < n; i++) fl_prune_one(place, others[i].name);
}

/* Unpack beside the place where the tree goes, then put it there. Call it with the lock, or where there are none. */
static bool fl_make(const fl_payload *p, const fl_place *place, const char *name, bool locked, const fl_why *damage, fl_why *why) {
    char made[64], old[64];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now); /* containers that share a cache have the same process ids */
    snprintf(made, sizeof made, FL_SCRATCH "made-%ld-%ld", (long)getpid(), now.tv_nsec);
    snprintf(old, sizeof old, FL_SCRATCH "old-%ld-%ld", (long)getpid(), now.tv_nsec);
    if (damage->used) fl_note("the unpacked copy %s/%s was damaged (%s); unpacking it anew", place->path, name, damage->text);
    if (damage->used && renameat(place->fd, name, place->fd, old) != 0) return fl_because_errno(why, place->path), false;
    if (locked) fl_prune(place, name);
    mode_t mask = umask(077);
    fl_why trouble = {0};
    bool done = fl_place_has_room(place, p->tree_bytes + FL_SPARE_BYTES, &trouble) && fl_tree_unpack(p, place, made, name, &trouble);
    umask(mask);
    /* Without locks two may have unpacked at once: the first one's tree is as good as ours. */
    if (done && renameat(place->fd, made, place->fd, name) != 0 && errno != EEXIST && errno != ENOTEMPTY) {
        fl_because_errno(&trouble, "rename");
        done = false;
    }
    if (!done) fl_because(why, "%s", trouble.text);
    fl_tree_remove(place->fd, made);
    return done;
}

bool fl_cache_get(const fl_payload *p, const fl_place *place, char path[PATH_MAX], int *use, fl_why *why) {
    char name[FL_TREE_NAME_BYTES];
    const char *asked = getenv("FASTLOAD_VERIFY");
    bool deep = asked && strcmp(asked, "1") == 0;
    fl_why damage = {0};
    fl_tree_name(name, p, place);
    if (snprintf(path, PATH_MAX, "%s/%s", place->path, name) >= PATH_MAX) return fl_because(why, "%s: path too long", place->path), false;
    bool there = faccessat(place->fd, name, F_OK, 0) == 0;
    *use = there ? fl_use(place->fd, name) : -1;
    bool good = there && *use != FL_PRUNED && fl_tree_is_good(p, place, name, deep, &damage);
    if (good) return true;
    if (*use >= 0) close(*use);
    *use = -1;
    fl_why trouble = {0};
    int lock = fl_lock(place, &trouble);
    if (lock < 0 && trouble.used) return fl_because(why, "%s", trouble.text), false;
    damage = (fl_why){0};
    good = fl_tree_is_good(p, place, name, deep, &damage) || fl_make(p, place, name, lock >= 0, &damage, why);
    if (good) *use = fl_use(place->fd, name);
    if (lock >= 0) close(lock);
    return good;
}

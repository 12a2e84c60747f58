/* fastload's single file: unpacks the program behind it once, into a cache directory of this user, and becomes it.

   Static, so that it needs no C library of the host; the program brings its own. It knows nothing of fastload: what to start, and
   what it consists of, is in the payload. See docs/build.md. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "cache.h"
#include "payload.h"
#include "place.h"
#include "say.h"

extern char **environ;

/* The path of this file, without links; the kernel's own word for it where there is no /proc. */
static bool fl_own_path(char path[PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (n > 0) {
        path[n] = 0;
        return true;
    }
    const char *started = (const char *)getauxval(AT_EXECFN); /* NOLINT: the kernel passes a pointer as a number */
    return started && realpath(started, path);
}

/* The dynamic loader's variables are meant for programs of the host, with the host's C library: they would bring its libraries into
   a program that has one of its own. The library path is kept for the programs that fastload starts. */
static void fl_clean_environment(const char *own_path) {
    const char *libraries = getenv("LD_LIBRARY_PATH");
    unsetenv("FASTLOAD_HOST_LD_LIBRARY_PATH");
    if (libraries) setenv("FASTLOAD_HOST_LD_LIBRARY_PATH", libraries, 1);
    unsetenv("LD_LIBRARY_PATH");
    unsetenv("LD_PRELOAD");
    unsetenv("LD_AUDIT");
    /* What another frozen program that started us told its own children. */
    for (size_t i = 0; environ[i];) {
        char name[128];
        size_t n = strcspn(environ[i], "=");
        bool ours = n < sizeof name && (strncmp(environ[i], "_PYI_", 5) == 0 || strncmp(environ[i], "_MEIPASS", 8) == 0);
        if (!ours) {
            i++;
            continue;
        }
        memcpy(name, environ[i], n);
        name[n] = 0;
        unsetenv(name);
    }
    setenv("FASTLOAD_EXE", own_path, 1);
}

/* Become the program of the tree at `path`; returns when that does not work. */
static void fl_become(const fl_payload *p, const char *path, char **argv, fl_why *why) {
    char program[PATH_MAX];
    if (snprintf(program, sizeof program, "%s/%s", path, p->program->path) >= (int)sizeof program) {
        fl_because(why, "%s: path too long", path);
        return;
    }
    execv(program, argv);
    fl_because_errno(why, program);
}

int main(int argc, char **argv) {
    (void)argc;
    static fl_payload payload;
    static fl_why damage, why;
    static fl_candidate candidates[FL_CANDIDATES];
    static char own_path[PATH_MAX], path[PATH_MAX];
    if (!fl_own_path(own_path)) fl_fail("cannot find its own file: there is neither /proc nor a path it was started by");
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) fd = open(own_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fl_fail("%s cannot be read (%s) - it holds the program - make it readable", own_path, strerror(errno));
    if (!fl_payload_read(&payload, fd, &damage)) fl_fail("%s: %s", own_path, damage.text);
    fl_clean_environment(own_path);
    size_t n = fl_candidates(candidates);
    for (size_t i = 0; i < n; i++) {
        fl_place place;
        int use = -1;
        if (why.used) fl_because(&why, "; ");
        if (!fl_place_open(&place, &candidates[i], &why)) continue;
        if (fl_cache_get(&payload, &place, path, &use, &why)) fl_become(&payload, path, argv, &why);
        close(place.fd);
        if (use >= 0) close(use);
    }
    fl_fail("no directory to unpack the program into (%s) - set FASTLOAD_CACHE to one of yours with %llu MB free where programs may run",
            why.text, (unsigned long long)((payload.tree_bytes >> 20) + 5));
}

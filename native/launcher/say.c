#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fl_because(fl_why *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(why->text + why->used, sizeof why->text - why->used, format, arguments);
    va_end(arguments);
    if (n < 0) return;
    size_t room = sizeof why->text - 1 - why->used;
    why->used += (size_t)n < room ? (size_t)n : room;
}

void fl_because_errno(fl_why *why, const char *what) {
    fl_because(why, "%s: %s", what, strerror(errno));
}

void fl_note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("fastload: note: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void fl_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("fastload: error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(FL_EXIT_LAUNCHER);
}

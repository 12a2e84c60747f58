/* What the launcher says: one line on stderr, in the shape of every other error of fastload.

   Knows nothing of payloads or caches. Invariant: nothing here allocates or fails. */
#ifndef FL_SAY_H
#define FL_SAY_H

#include <stddef.h>

/* The launcher's own exit code: no fastload ran. The same as that of env(1), timeout(1) and container engines. */
#define FL_EXIT_LAUNCHER 125

#define FL_WHY_BYTES 4096

/* Why something could not be done, or a growing list of such reasons. */
typedef struct {
    char text[FL_WHY_BYTES];
    size_t used;
} fl_why;

/* Append to the reasons; what does not fit is cut off. */
__attribute__((format(printf, 2, 3))) void fl_because(fl_why *why, const char *format, ...);

/* Append "what: the system's words for errno". */
void fl_because_errno(fl_why *why, const char *what);

__attribute__((format(printf, 1, 2))) void fl_note(const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void fl_fail(const char *format, ...);

#endif

/* Where a tree may go: the directories that are tried, and whether one can be trusted.

   Knows nothing of what goes there. Invariant: a place that was opened belongs to this user or to root, nobody else can write
   there, and nobody else can put another directory in its stead. */
#ifndef FL_PLACE_H
#define FL_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "say.h"

#define FL_CANDIDATES 8

/* A directory that may not be there yet: `leaf` below `parent`, which may be made too where it is below `above`. */
typedef struct {
    char above[PATH_MAX];
    char parent[PATH_MAX];
    char leaf[NAME_MAX + 1];
} fl_candidate;

typedef struct {
    int fd;
    char path[PATH_MAX]; /* without links */
} fl_place;

/* Fill in the candidates in the order they are tried and return their number: FASTLOAD_CACHE alone where it is set, else
   $XDG_CACHE_HOME/fastload, ~/.cache/fastload, then fastload-cache-UID in /var/tmp, $TMPDIR, /tmp and /dev/shm. */
size_t fl_candidates(fl_candidate list[FL_CANDIDATES]);

/* Make and open a candidate. */
bool fl_place_open(fl_place *place, const fl_candidate *candidate, fl_why *why);

/* Tell whether programs may be started there and `bytes` more fit; says why not. */
bool fl_place_has_room(const fl_place *place, uint64_t bytes, fl_why *why);

#endif

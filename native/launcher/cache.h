/* The trees in one place: who unpacks, who uses, what is removed.

   Names in a place:  lock  held by who changes anything here;  ID-PLACE  a tree;  ID-PLACE.use  held by every program started from
   it;  .gone-*  what is being made or removed, and left by who was killed meanwhile.
   Invariant: a tree is only removed by who holds `lock` and its `.use` alone. */
#ifndef FL_CACHE_H
#define FL_CACHE_H

#include <stdbool.h>

#include "payload.h"
#include "place.h"

/* Find or make a good tree in `place` and return its path in `path`, with a descriptor in `use` that says it is used as long as it
   is open (-1 where the file system knows no locks). */
bool fl_cache_get(const fl_payload *p, const fl_place *place, char path[PATH_MAX], int *use, fl_why *why);

#endif

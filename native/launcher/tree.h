/* One unpacked tree: made from the payload, and told from a damaged one.

   Knows nothing of locks or of other trees. Invariant: a tree with its final name was complete when it got it. */
#ifndef FL_TREE_H
#define FL_TREE_H

#include <stdbool.h>

#include "payload.h"
#include "place.h"

/* The tree's name holds its place too: the program carries the absolute path of its dynamic loader. */
#define FL_TREE_NAME_BYTES (FL_ID_BYTES + 1 + 8 + 1)

void fl_tree_name(char name[FL_TREE_NAME_BYTES], const fl_payload *p, const fl_place *place);

/* Tell whether the tree is there and every file has its size and its time; `deep`: its contents too. A tree that is not there at
   all leaves `why` empty. */
bool fl_tree_is_good(const fl_payload *p, const fl_place *place, const char *name, bool deep, fl_why *why);

/* Unpack into the directory `into`, which must not be there, so that it can be renamed to `name`. */
bool fl_tree_unpack(const fl_payload *p, const fl_place *place, const char *into, const char *name, fl_why *why);

/* Remove a file or a directory with all that is in it, following no link. */
bool fl_tree_remove(int dir, const char *name);

/* Write the path of the dynamic loader of the tree `name`; false when it is too long for the program. */
bool fl_tree_interpreter(const fl_payload *p, const fl_place *place, const char *name, char *to, size_t room);

#endif

/* Finds out what one JSON event holds, without building it.
 *
 * A matcher is a small tree of paths such as choices[*].delta.content, each with a class. A scan walks one JSON text once, checks
 * that it is valid (RFC 8259: grammar, escapes, UTF-8) and reports which classes occur with a value that counts. It knows nothing
 * of streams or time, allocates nothing but what a capture grows by, and reads nothing outside [bytes, bytes + n).
 *
 * What counts, by class:   TEXT REASONING TOOL   a non-empty string
 *                          USAGE                 an object or a number
 *                          ERROR FINISH          anything but null, false and ""
 *                          PROBE                 a string of decimal digits; its value is reported (the server's send clock)
 *                          ASIDE                 its path ends in a value, not a key: a string there that equals it. Then the event's
 *                                                TEXT is REASONING (APIs that tell the two apart by a type field only)
 */
#ifndef FL_JSON_H
#define FL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fl_capture.h"

typedef enum fl_class {
    FL_HAS_TEXT = 1u << 0,
    FL_HAS_REASONING = 1u << 1,
    FL_HAS_TOOL = 1u << 2,
    FL_HAS_USAGE = 1u << 3,
    FL_HAS_ERROR = 1u << 4,
    FL_HAS_FINISH = 1u << 5,
    FL_HAS_PROBE = 1u << 6,
    FL_HAS_ASIDE = 1u << 7,
} fl_class;
#define FL_HAS_CONTENT ((uint32_t)(FL_HAS_TEXT | FL_HAS_REASONING | FL_HAS_TOOL))
#define FL_HAS_STRINGS (FL_HAS_CONTENT | FL_HAS_ERROR | FL_HAS_FINISH | FL_HAS_PROBE)

#define FL_MATCHER_NODES 128
#define FL_MATCHER_KEYS 2048
/* Deeper nesting is refused as malformed; orjson, our oracle, refuses beyond 1024 too. */
#define FL_JSON_DEPTH 1024

typedef struct fl_node {
    uint16_t key_at, key_bytes; /* in keys[] */
    int16_t next;               /* sibling, -1 = none */
    int16_t child;              /* first child by key, -1 = none */
    int16_t any;                /* child for every array element, -1 = none */
    uint16_t classes;
} fl_node;

typedef struct fl_matcher {
    fl_node nodes[FL_MATCHER_NODES];
    uint8_t keys[FL_MATCHER_KEYS];
    int nodes_used;
    size_t keys_used;
} fl_matcher;

typedef struct fl_hits {
    uint32_t classes;
    uint32_t content_strings; /* how many strings counted as content; the rest is about the last of them */
    uint32_t content_class;
    size_t content_at, content_bytes; /* where it lies, without its quotes */
    uint64_t probe;
} fl_hits;

void fl_matcher_init(fl_matcher *m);
/* Step down from `node`: by key, or into array elements when key is NULL. Returns the node, or -1 when the matcher is full. */
int fl_matcher_step(fl_matcher *m, int node, const uint8_t *key, size_t key_bytes);

/* True when [bytes, bytes + n) is one valid JSON text; *hits is filled in either way. All strings that count as TEXT are added to
 * `capture` in their order, unless that is NULL; where the text turns out invalid, those before the fault. */
bool fl_json_scan(const fl_matcher *m, const uint8_t *bytes, size_t n, fl_hits *hits, fl_capture *capture);

/* The closing quote of the string whose first byte is at `bytes`, or NULL when it has none before `end` or is malformed. */
const uint8_t *fl_json_string_end(const uint8_t *bytes, const uint8_t *end);

#endif

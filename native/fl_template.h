/* Events of one stream mostly differ in one string: the text of the token. A template remembers what one fully scanned event had
 * before and after that string. An event with the same bytes around a valid string is valid JSON with the same classes but for
 * that string being empty or not, so only the string needs a look. Nothing is guessed: any other event is scanned in full.
 */
#ifndef FL_TEMPLATE_H
#define FL_TEMPLATE_H

#include "fl_buffer.h"
#include "fl_json.h"

/* Longer events (top log-probabilities) are scanned in full; a template must stay small for thousands of streams. */
#define FL_TEMPLATE_BYTES 1024u

typedef struct fl_template {
    const fl_matcher *matcher; /* whose classes these are: it fits no event that is scanned with another */
    fl_buffer bytes;           /* prefix, then suffix */
    size_t prefix_bytes;       /* up to and with the opening quote */
    uint32_t around_classes;   /* classes the event has without the string */
    uint32_t string_classes;   /* class of the string when it is not empty */
    bool ready;
} fl_template;

/* Scan an event, by the template where it fits; learns from events that do not. Same classes, probe and capture as fl_json_scan. */
bool fl_template_scan(fl_template *t, const fl_matcher *m, const uint8_t *bytes, size_t n, fl_hits *hits, fl_capture *capture);

#endif

#include "fl_json.h"

#include <assert.h>
#include <string.h>

#include "fl_text.h"

void fl_matcher_init(fl_matcher *m) {
    assert(m != NULL);
    m->nodes_used = 1;
    m->keys_used = 0;
    m->nodes[0] = (fl_node){.next = -1, .child = -1, .any = -1};
}

static int fl_new_node(fl_matcher *m, const uint8_t *key, size_t n) {
    if (m->nodes_used >= FL_MATCHER_NODES || n > FL_MATCHER_KEYS - m->keys_used) return -1;
    if (n) memcpy(m->keys + m->keys_used, key, n);
    m->nodes[m->nodes_used] = (fl_node){
        .key_at = (uint16_t)m->keys_used, .key_bytes = (uint16_t)n, .next = -1, .child = -1, .any = -1};
    m->keys_used += n;
    return m->nodes_used++;
}

static int fl_find(const fl_matcher *m, int node, const uint8_t *key, size_t n) {
    if (node < 0) return -1;
    for (int i = m->nodes[node].child; i >= 0; i = m->nodes[i].next) {
        const fl_node *c = &m->nodes[i];
        if (c->key_bytes == n && memcmp(m->keys + c->key_at, key, n) == 0) return i;
    }
    return -1;
}

int fl_matcher_step(fl_matcher *m, int node, const uint8_t *key, size_t key_bytes) {
    assert(m != NULL && node >= 0 && node < m->nodes_used);
    if (key == NULL) {
        if (m->nodes[node].any < 0) {
            int made = fl_new_node(m, NULL, 0);
            m->nodes[node].any = (int16_t)made;
        }
        return m->nodes[node].any;
    }
    int found = fl_find(m, node, key, key_bytes);
    if (found >= 0) return found;
    int made = fl_new_node(m, key, key_bytes);
    if (made >= 0) {
        m->nodes[made].next = m->nodes[node].child;
        m->nodes[node].child = (int16_t)made;
    }
    return made;
}

const uint8_t *fl_json_string_end(const uint8_t *bytes, const uint8_t *end) {
    bool escaped;
    assert(bytes != NULL && bytes <= end);
    return fl_string_end(bytes, end, &escaped);
}

/* A key with escapes is compared in its decoded form; one longer than any key we look for cannot match. */
static int fl_find_escaped(const fl_matcher *m, int node, const uint8_t *p, const uint8_t *end) {
    uint8_t key[256];
    size_t n = 0;
    while (p < end) {
        if (n > sizeof key - 4) return -1;
        if (*p != '\\') {
            key[n++] = *p++;
            continue;
        }
        p++;
        n += fl_unescape(&p, end, key + n);
    }
    return fl_find(m, node, key, n);
}

/* --- scalars ----------------------------------------------------------------------------------------------------------- */

static const uint8_t *fl_digits(const uint8_t *p, const uint8_t *end) {
    const uint8_t *start = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p > start ? p : NULL;
}

/* Whether the number [p, end), known to be well-formed, has a float64. One that would be infinite is refused, as orjson does: Python
 * could not read an event that we took for valid. */
static bool fl_is_finite(const uint8_t *p, const uint8_t *end) {
    /* 2**1024 - 2**970, the smallest number that rounds to infinity; it is 1.797...e308. */
    static const char edge[] =
        "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775872070963"
        "3028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447573027"
        "0069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";
    uint8_t digits[sizeof edge - 1] = {0};
    size_t used = 0;
    int64_t magnitude = -1, exponent = 0; /* value = d.ddd * 10**magnitude */
    bool fraction = false, negative = false;
    for (; p < end && (*p | 32) != 'e'; p++) {
        if (*p == '.') fraction = true;
        if (*p < '0' || *p > '9') continue;
        bool significant = used || *p != '0';
        if (significant && used < sizeof digits) digits[used++] = *p;
        if (fraction ? !significant : significant) magnitude += fraction ? -1 : 1;
    }
    if (used == 0) return true; /* zero */
    for (; p < end; p++) {
        if (*p == '-') negative = true;
        if (*p >= '0' && *p <= '9' && exponent < INT64_C(1000000000000)) exponent = exponent * 10 + (*p - '0');
    }
    magnitude += negative ? -exponent : exponent;
    return magnitude < 308 || (magnitude == 308 && memcmp(digits, edge, sizeof digits) < 0);
}

static const uint8_t *fl_number_end(const uint8_t *p, const uint8_t *end) {
    const uint8_t *start = p;
    bool exponent = false;
    if (p < end && *p == '-') p++;
    if (p < end && *p == '0') p++;
    else if ((p = fl_digits(p, end)) == NULL) return NULL;
    if (p < end && *p == '.' && (p = fl_digits(p + 1, end)) == NULL) return NULL;
    if (p < end && (*p | 32) == 'e') {
        exponent = true;
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        if ((p = fl_digits(p, end)) == NULL) return NULL;
    }
    if ((exponent || p - start > 308) && !fl_is_finite(start, p)) return NULL;
    return p;
}

static const uint8_t *fl_space_end(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    return p;
}

static void fl_hit_string(uint32_t classes, const uint8_t *event, const uint8_t *p, size_t n, fl_hits *hits, fl_capture *capture) {
    if (n == 0) return;
    if ((classes & FL_HAS_TEXT) && capture != NULL) fl_capture_add(capture, p, n);
    if (classes & FL_HAS_CONTENT) {
        hits->content_strings++;
        hits->content_class = classes & FL_HAS_CONTENT;
        hits->content_at = (size_t)(p - event);
        hits->content_bytes = n;
    }
    if (classes & FL_HAS_PROBE) {
        uint64_t v = 0;
        const uint8_t *end = p + n;
        if (n <= 19 && fl_digits(p, end) == end) {
            while (p < end) v = v * 10 + (uint64_t)(*p++ - '0');
            hits->probe = v;
        } else {
            classes &= ~(uint32_t)FL_HAS_PROBE;
        }
    }
    hits->classes |= classes & FL_HAS_STRINGS;
}

/* A scalar that is not a string: its end, or NULL; marks hits. */
static const uint8_t *fl_scalar(const uint8_t *p, const uint8_t *end, uint32_t classes, fl_hits *hits) {
    static const struct { const char *text; size_t n; bool counts; } words[] = {{"null", 4, false}, {"true", 4, true}, {"false", 5, false}};
    for (int i = 0; i < 3; i++) {
        if (*p != (uint8_t)words[i].text[0]) continue;
        if ((size_t)(end - p) < words[i].n || memcmp(p, words[i].text, words[i].n) != 0) return NULL;
        if (words[i].counts) hits->classes |= classes & (FL_HAS_ERROR | FL_HAS_FINISH);
        return p + words[i].n;
    }
    p = fl_number_end(p, end);
    if (p != NULL) hits->classes |= classes & (FL_HAS_USAGE | FL_HAS_ERROR | FL_HAS_FINISH);
    return p;
}

/* --- the walk ---------------------------------------------------------------------------------------------------------- */

/* Whether the string [start, end) is a value that sets the event's text aside. */
static bool fl_is_aside(const fl_matcher *m, int node, const uint8_t *start, const uint8_t *end, bool escaped) {
    int value = escaped ? fl_find_escaped(m, node, start, end) : fl_find(m, node, start, (size_t)(end - start));
    return value >= 0 && (m->nodes[value].classes & FL_HAS_ASIDE);
}

static bool fl_walk(const fl_matcher *m, const uint8_t *bytes, size_t n, fl_hits *hits, fl_capture *capture) {
    int16_t parent[FL_JSON_DEPTH]; /* matcher node of each open container; left uninitialised: only [0, depth) is read */
    uint8_t closer[FL_JSON_DEPTH];
    const uint8_t *p = bytes, *end = bytes + n;
    int depth = 0, node = 0;
    bool escaped;
    assert(m != NULL && hits != NULL);
    *hits = (fl_hits){0};

value:
    p = fl_space_end(p, end);
    if (p >= end) return false;
    uint32_t classes = node >= 0 ? m->nodes[node].classes : 0;
    if (*p == '"') {
        const uint8_t *start = ++p;
        if ((p = fl_string_end(p, end, &escaped)) == NULL) return false;
        if (classes) fl_hit_string(classes, bytes, start, (size_t)(p - start), hits, capture);
        if (node >= 0 && m->nodes[node].child >= 0 && fl_is_aside(m, node, start, p, escaped)) hits->classes |= FL_HAS_ASIDE;
        p++;
    } else if (*p == '{' || *p == '[') {
        if (depth == FL_JSON_DEPTH) return false;
        bool object = *p == '{';
        hits->classes |= classes & (object ? FL_HAS_USAGE | FL_HAS_ERROR | FL_HAS_FINISH : FL_HAS_ERROR | FL_HAS_FINISH);
        parent[depth] = (int16_t)node;
        closer[depth++] = object ? '}' : ']';
        p = fl_space_end(p + 1, end);
        if (p < end && *p == closer[depth - 1]) goto close;
        if (object) goto key;
        node = node >= 0 ? m->nodes[node].any : -1;
        goto value;
    } else if ((p = fl_scalar(p, end, classes, hits)) == NULL) {
        return false;
    }

after:
    p = fl_space_end(p, end);
    if (depth == 0) return p == end;
    if (p >= end) return false;
    if (*p == closer[depth - 1]) goto close;
    if (*p != ',') return false;
    p = fl_space_end(p + 1, end);
    node = parent[depth - 1];
    if (closer[depth - 1] == '}') goto key;
    node = node >= 0 ? m->nodes[node].any : -1;
    goto value;

key:
    if (p >= end || *p != '"') return false;
    {
        const uint8_t *start = ++p;
        if ((p = fl_string_end(p, end, &escaped)) == NULL) return false;
        node = parent[depth - 1];
        if (node >= 0) node = escaped ? fl_find_escaped(m, node, start, p) : fl_find(m, node, start, (size_t)(p - start));
    }
    p = fl_space_end(p + 1, end);
    if (p >= end || *p != ':') return false;
    p++;
    goto value;

close:
    p++;
    depth--;
    goto after;
}

bool fl_json_scan(const fl_matcher *m, const uint8_t *bytes, size_t n, fl_hits *hits, fl_capture *capture) {
    size_t kept = capture != NULL ? capture->bytes.used : 0;
    bool truncated = capture != NULL && capture->truncated;
    bool valid = fl_walk(m, bytes, n, hits, capture);
    if ((hits->classes & (FL_HAS_ASIDE | FL_HAS_TEXT)) == (FL_HAS_ASIDE | FL_HAS_TEXT)) {
        hits->classes = (hits->classes & ~(uint32_t)FL_HAS_TEXT) | FL_HAS_REASONING;
        if (hits->content_class & FL_HAS_TEXT) hits->content_class = (hits->content_class & ~(uint32_t)FL_HAS_TEXT) | FL_HAS_REASONING;
        if (capture != NULL) { /* what was kept as text before the event said that it is none */
            capture->bytes.used = kept;
            capture->truncated = truncated;
        }
    }
    return valid;
}

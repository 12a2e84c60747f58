/* Strings of a JSON text: where one ends, what an escape stands for. Part of fl_json.c, inlined into its walk.
 *
 * Every function reads only inside [p, end) and says NULL, 0 or -1 for what RFC 8259 or UTF-8 does not allow.
 */
#ifndef FL_TEXT_H
#define FL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* First byte that is not plain text inside a string: a quote, a backslash, a control character or the start of a multi-byte
 * character. This is where nearly all bytes of an event are spent, hence the 16 at a time. */
static inline const uint8_t *fl_plain_end(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed "less than space" is true for control characters and, their top bit being set, for all multi-byte ones. */
        __m128i stop = _mm_or_si128(_mm_cmplt_epi8(v, space), _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
        int mask = _mm_movemask_epi8(stop);
        if (mask) return p + __builtin_ctz((unsigned)mask);
        p += 16;
    }
#endif
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') p++;
    return p;
}

/* The byte after one well-formed multi-byte UTF-8 character (Unicode 15, table 3-7), or NULL. */
static inline const uint8_t *fl_utf8_next(const uint8_t *p, const uint8_t *end) {
    ptrdiff_t left = end - p;
    uint8_t a = p[0];
    if (a >= 0xC2 && a <= 0xDF) return left >= 2 && (p[1] & 0xC0) == 0x80 ? p + 2 : NULL;
    if ((a & 0xF0) == 0xE0) {
        if (left < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80) return NULL;
        if ((a == 0xE0 && p[1] < 0xA0) || (a == 0xED && p[1] > 0x9F)) return NULL;
        return p + 3;
    }
    if (a >= 0xF0 && a <= 0xF4) {
        if (left < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80) return NULL;
        if ((a == 0xF0 && p[1] < 0x90) || (a == 0xF4 && p[1] > 0x8F)) return NULL;
        return p + 4;
    }
    return NULL;
}

static inline int fl_hex4(const uint8_t *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Decode the escape at *p (just after the backslash) into out (at most 4 bytes); returns the bytes written, 0 when malformed.
 * A lone surrogate is malformed: it has no UTF-8 form, and orjson refuses it. */
static inline size_t fl_unescape(const uint8_t **p, const uint8_t *end, uint8_t out[4]) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *s = *p;
    if (s >= end) return 0;
    if (*s != 'u') {
        const char *at = *s ? strchr(from, *s) : NULL;
        if (at == NULL) return 0;
        out[0] = (uint8_t)to[at - from];
        *p = s + 1;
        return 1;
    }
    if (end - s < 5) return 0;
    int c = fl_hex4(s + 1);
    if (c < 0 || (c >= 0xDC00 && c <= 0xDFFF)) return 0;
    s += 5;
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (end - s < 6 || s[0] != '\\' || s[1] != 'u') return 0;
        int low = fl_hex4(s + 2);
        if (low < 0xDC00 || low > 0xDFFF) return 0;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        s += 6;
    }
    *p = s;
    if (c < 0x80) return out[0] = (uint8_t)c, 1;
    if (c < 0x800) return out[0] = (uint8_t)(0xC0 | (c >> 6)), out[1] = (uint8_t)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (uint8_t)(0xE0 | (c >> 12)), out[1] = (uint8_t)(0x80 | ((c >> 6) & 63)), out[2] = (uint8_t)(0x80 | (c & 63)), 3;
    out[0] = (uint8_t)(0xF0 | (c >> 18));
    out[1] = (uint8_t)(0x80 | ((c >> 12) & 63));
    out[2] = (uint8_t)(0x80 | ((c >> 6) & 63));
    out[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

/* The closing quote of the string whose first byte is p, or NULL. *escaped tells whether it holds a backslash. */
static inline const uint8_t *fl_string_end(const uint8_t *p, const uint8_t *end, bool *escaped) {
    uint8_t scratch[4];
    *escaped = false;
    for (;;) {
        p = fl_plain_end(p, end);
        if (p >= end) return NULL;
        if (*p == '"') return p;
        if (*p == '\\') {
            *escaped = true;
            p++;
            if (fl_unescape(&p, end, scratch) == 0) return NULL;
        } else if ((p = *p < 0x20 ? NULL : fl_utf8_next(p, end)) == NULL) {
            return NULL;
        }
    }
}

#endif

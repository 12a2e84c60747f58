/* See fl_answer.h. */
#define _GNU_SOURCE
#include "fl_answer.h"

#include <errno.h>
#include <math.h>
#include <sys/socket.h>

#include "fl_clock.h"

#define DIGITS_MAX 20
#define FRAME_MAX (18 + 4 + DIGITS_MAX) /* chunk-size line, CRLF after the chunk, the clock */

/* --- random gaps */

/* splitmix64 (Steele, Lea, Flood 2014): one multiply-shift chain a draw, any seed is a good one. */
static uint64_t draw(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Marsaglia's polar method: two independent standard normals per round. */
static double normal(fl_answer *a) {
    if (a->has_spare) {
        a->has_spare = false;
        return a->spare_normal;
    }
    double u, v, s;
    do {
        u = (double)(draw(&a->rng) >> 11) * 0x1p-52 - 1.0;
        v = (double)(draw(&a->rng) >> 11) * 0x1p-52 - 1.0;
        s = u * u + v * v;
    } while (s >= 1.0 || s <= 0.0);
    double scale = sqrt(-2.0 * log(s) / s);
    a->spare_normal = v * scale;
    a->has_spare = true;
    return u * scale;
}

static uint64_t jittered(fl_answer *a, uint64_t mean_ns) {
    if (a->jitter <= 0.0 || mean_ns == 0) return mean_ns;
    double value = (double)mean_ns * (1.0 + a->jitter * normal(a));
    return value > 0.0 ? (uint64_t)value : 0;
}

/* --- sending */

/* Send all of it or keep the rest. FL_FULL: nothing or not all was taken; `*taken` says how much. */
static fl_sent push(int fd, const char *bytes, size_t n, size_t *taken) {
    *taken = 0;
    while (*taken < n) {
        ssize_t sent = send(fd, bytes + *taken, n - *taken, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return FL_FULL;
        if (sent <= 0) return FL_GONE;
        *taken += (size_t)sent;
    }
    return FL_SENT;
}

static fl_sent keep_rest(fl_answer *a, const char *bytes, size_t n, uint32_t tokens) {
    a->rest = malloc(n);
    if (a->rest == NULL) return FL_NO_MEMORY;
    memcpy(a->rest, bytes, n);
    a->rest_bytes = n;
    a->rest_sent = 0;
    a->rest_tokens = tokens;
    return FL_FULL;
}

static fl_sent push_rest(fl_composer *c, fl_answer *a) {
    size_t taken;
    fl_sent result = push(a->fd, a->rest + a->rest_sent, a->rest_bytes - a->rest_sent, &taken);
    a->rest_sent += taken;
    if (result != FL_SENT) return result;
    c->truth.tokens += a->rest_tokens;
    free(a->rest);
    a->rest = NULL;
    a->rest_bytes = a->rest_sent = 0;
    a->rest_tokens = 0;
    return FL_SENT;
}

static size_t decimal(char *to, uint64_t value) {
    char reversed[DIGITS_MAX];
    size_t n = 0;
    do reversed[n++] = (char)('0' + value % 10);
    while (value /= 10);
    for (size_t i = 0; i < n; i++) to[i] = reversed[n - 1 - i];
    return n;
}

static char *append(char *to, const char *bytes, size_t n) {
    memcpy(to, bytes, n);
    return to + n;
}

/* One event: chunk-size line, prefix, [clock, middle,] word, suffix, CRLF. */
static char *compose(const fl_composer *c, const fl_answer *a, uint32_t word, const char *clock, size_t clock_bytes, char *to) {
    static const char hex[] = "0123456789abcdef";
    size_t middle = a->send_clock ? a->middle_bytes : 0;
    size_t size = a->prefix_bytes + (a->send_clock ? clock_bytes : 0) + middle + c->word_bytes[word] + a->suffix_bytes;
    if (a->chunked) {
        int shift = 60;
        while (shift > 0 && (size >> shift) == 0) shift -= 4;
        for (; shift >= 0; shift -= 4) *to++ = hex[(size >> shift) & 15];
        to = append(to, "\r\n", 2);
    }
    const char *blob = a->blob;
    to = append(to, blob, a->prefix_bytes);
    if (a->send_clock) to = append(append(to, clock, clock_bytes), blob + a->prefix_bytes, middle);
    to = append(to, c->words + c->word_at[word], c->word_bytes[word]);
    to = append(to, blob + a->prefix_bytes + a->middle_bytes, a->suffix_bytes);
    return a->chunked ? append(to, "\r\n", 2) : to;
}

static bool ensure_scratch(fl_composer *c, const fl_answer *a) {
    if (a->tokens == 0) return true;
    size_t event = a->prefix_bytes + a->middle_bytes + a->suffix_bytes + c->word_max + FRAME_MAX;
    size_t need = event * c->coalesce;
    if (need <= c->scratch_room) return true;
    char *grown = realloc(c->scratch, need);
    if (grown == NULL) return false;
    c->scratch = grown;
    c->scratch_room = need;
    return true;
}

/* Send the next group of events and move the due time to the group after it. */
static fl_sent push_tokens(fl_composer *c, fl_answer *a, uint64_t *clock_ns) {
    assert(a->sent < a->tokens && a->rest == NULL);
    uint32_t group = a->tokens - a->sent < c->coalesce ? a->tokens - a->sent : c->coalesce;
    char clock[DIGITS_MAX];
    uint64_t now = fl_mono_ns();
    size_t clock_bytes = a->send_clock ? decimal(clock, now) : 0;
    uint32_t word = a->word;
    char *end = c->scratch;
    for (uint32_t i = 0; i < group; i++) {
        end = compose(c, a, word, clock, clock_bytes, end);
        if (++word == c->words_count) word = 0;
    }
    size_t n = (size_t)(end - c->scratch), taken;
    assert(n <= c->scratch_room);
    if (!a->send_clock) now = fl_mono_ns(); /* right before the send, not before composing */
    fl_sent result = push(a->fd, c->scratch, n, &taken);
    *clock_ns = now;
    if (result == FL_GONE || (result == FL_FULL && taken == 0)) return result; /* nothing left: composed again, with a new clock */
    if (a->sent == 0) fl_linear_add(&c->truth.ttft, now > a->arrival_ns ? now - a->arrival_ns : 0);
    else fl_linear_add(&c->truth.itl, now - a->last_send_ns);
    fl_linear_add(&c->truth.late, now > a->due_ns ? now - a->due_ns : 0);
    a->last_send_ns = now;
    a->sent += group;
    a->word = word;
    if (a->sent < a->tokens) {
        for (uint32_t i = 0; i < group; i++) a->due_ns += jittered(a, a->itl_ns);
    }
    if (result == FL_FULL) return keep_rest(a, c->scratch + taken, n - taken, group);
    c->truth.tokens += group;
    return FL_SENT;
}

static fl_sent push_tail(fl_answer *a) {
    const char *tail = a->blob + a->prefix_bytes + a->middle_bytes + a->suffix_bytes;
    size_t taken, n = a->tail_bytes;
    fl_sent result = push(a->fd, tail, n, &taken);
    a->tail_bytes = 0; /* the rest, if any, is kept apart */
    return result == FL_FULL ? keep_rest(a, tail + taken, n - taken, 0) : result;
}

fl_sent fl_answer_step(fl_answer *a, fl_composer *c, uint64_t *now_ns) {
    fl_sent result = FL_SENT;
    if (a->rest == NULL && a->sent < a->tokens) {
        result = push_tokens(c, a, now_ns);
    } else {
        *now_ns = fl_mono_ns();
        result = a->rest != NULL ? push_rest(c, a) : push_tail(a);
    }
    a->turn_ns = result == FL_SENT ? a->due_ns : FL_TURN_NOW;
    return result;
}

fl_sent fl_answer_head(fl_answer *a, const fl_pump_answer *from, bool stalled) {
    size_t taken = 0;
    fl_sent result = stalled ? FL_FULL : push(a->fd, from->head, from->head_bytes, &taken);
    if (result != FL_FULL || from->head_bytes == 0) return result == FL_FULL ? FL_SENT : result;
    a->turn_ns = FL_TURN_NOW;
    return keep_rest(a, from->head + taken, from->head_bytes - taken, 0);
}

static bool copy_parts(fl_answer *a, const fl_pump_answer *from) {
    size_t total = from->prefix_bytes + from->middle_bytes + from->suffix_bytes + from->tail_bytes;
    a->blob = malloc(total ? total : 1);
    if (a->blob == NULL) return false;
    char *to = append(a->blob, from->prefix, from->prefix_bytes);
    to = append(to, from->middle, from->middle_bytes);
    to = append(to, from->suffix, from->suffix_bytes);
    append(to, from->tail, from->tail_bytes);
    a->prefix_bytes = from->prefix_bytes;
    a->middle_bytes = from->middle_bytes;
    a->suffix_bytes = from->suffix_bytes;
    a->tail_bytes = from->tail_bytes;
    return true;
}

bool fl_answer_init(fl_answer *a, fl_composer *c, const fl_pump_answer *from, uint64_t seed) {
    a->fd = from->fd;
    a->chunked = from->chunked;
    a->send_clock = from->send_clock;
    a->arrival_ns = from->arrival_ns;
    a->itl_ns = from->itl_ns;
    a->jitter = from->jitter;
    a->tokens = from->tokens;
    a->rng = seed;
    a->word = (uint32_t)(draw(&a->rng) % c->words_count);
    a->due_ns = from->arrival_ns + jittered(a, from->ttft_ns);
    a->turn_ns = a->due_ns;
    return copy_parts(a, from) && ensure_scratch(c, a);
}

void fl_answer_free(fl_answer *a) {
    free(a->blob);
    free(a->rest);
    a->blob = a->rest = NULL;
}

bool fl_composer_init(fl_composer *c, const fl_pump_options *options) {
    size_t total = 0, n = options->words_count;
    assert(n > 0 && n < UINT32_MAX && options->coalesce > 0);
    *c = (fl_composer){.words_count = (uint32_t)n, .coalesce = options->coalesce};
    for (size_t i = 0; i < n; i++) {
        if (options->word_bytes[i] > UINT16_MAX) return false; /* a token, not a book */
        total += options->word_bytes[i];
    }
    c->words = malloc(total ? total : 1);
    c->word_at = calloc(n, sizeof *c->word_at);
    c->word_bytes = calloc(n, sizeof *c->word_bytes);
    if (c->words == NULL || c->word_at == NULL || c->word_bytes == NULL) return false;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(c->words + at, options->words[i], options->word_bytes[i]);
        c->word_at[i] = at;
        c->word_bytes[i] = (uint32_t)options->word_bytes[i];
        if (c->word_bytes[i] > c->word_max) c->word_max = c->word_bytes[i];
        at += c->word_bytes[i];
    }
    fl_pump_truth *t = &c->truth;
    return fl_linear_init(&t->ttft) && fl_linear_init(&t->itl) && fl_linear_init(&t->late);
}

void fl_composer_free(fl_composer *c) {
    fl_linear_free(&c->truth.ttft);
    fl_linear_free(&c->truth.itl);
    fl_linear_free(&c->truth.late);
    free(c->words);
    free(c->word_at);
    free(c->word_bytes);
    free(c->scratch);
    *c = (fl_composer){0};
}

/* Invariant: whole, byte by byte and randomly split: same events, outcome and texts; no read outside the bytes.
 * And: an event scanned by the template of those before it has the result and the text of the full scan.
 *
 * A libFuzzer target; with -DFL_STANDALONE a program of its own: `[--random N] [--seed S] [FILE...]` runs the files, then N inputs
 * made from the seed. Every read lies in an allocation of exactly its size, so AddressSanitizer sees the first byte beyond it.
 *
 * An input is 4 bytes of settings and a payload. Byte 0: framing (bits 0-1), format (bits 2-3), needs_end (4), no end marker (5),
 * payload is grammar (6), wrap it into valid chunks (7). Byte 1: seed of the splits; of its high bits also how much text is kept (5-7)
 * and at which event the response is cancelled (bits 3-4). Bytes 2-3: Content-Length. In a grammar
 * payload a byte of 128 or more stands for a fragment of what servers send. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fl_decoder.h"

#define MAX_WIRE (1u << 16)
#define MAX_TOKENS 4096u
#define MAX_INPUT 2048u

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "fuzz_decoder.c:%d: broken: %s\n", __LINE__, #condition);     \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

typedef struct token {
    uint64_t stamp, gap, flags;
} token;

/* All that the decoder says about one response. Stamps are offsets into the wire: a read is stamped with where it ends. */
typedef struct facts {
    uint64_t first_token, first_answer, last_token, max_gap, body_bytes;
    uint32_t events, coalesced;
    size_t used, kept_bytes, tokens;
    uint8_t outcome;
    bool ended, has_usage, done;
    uint8_t *kept, *text;
    size_t text_bytes;
    bool truncated;
    token token[MAX_TOKENS];
} facts;

typedef struct settings {
    fl_framing framing;
    fl_format format;
    uint64_t length;
    size_t text_limit;
    uint32_t stop_after;
} settings;

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* --- the input ----------------------------------------------------------------------------------------------------------- */

static const char *const fragments[] = {
    "data: ", "data:", "data", "\n\n", "\r\n\r\n", "\r\r", "\n", "\r", ": comment", "event: x", "id: 1", "retry: 5", "[DONE]",
    "data: [DONE]\n\n", "\xEF\xBB\xBF", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning\":\"\xC3\xA9\"}}]}\n\n", "data:{\"choices\":[],\n\ndata:\"usage\":{\"n\":1}}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"", "\"}}]}\n\n", "\\\"", "\\u00e9\\ud83d", "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n",
    "data:{\"choices\":[],\ndata:\"usage\":{\"n\":1}}\n\n", "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"error\":{\"message\":\"x\"}}\n\n", "data: {\"error\":null,\"usage\":{}}\n\n", "data: {\"choices\":[\n\n",
    "{\"choices\":[{\"delta\":{\"cont\\u0065nt\":\"\\ud83d\\ude00\"}}]}\n", "{\"usage\":{\"n\":2}}\n", "{", "}", "[", "]", "\"", ":", ",",
    "\\u0061", "\\", "choices", "delta", "content", "usage", "error", "null", "true", "-1.5e+3", "\xF0\x9F\x98\x80", "0\r\n\r\n", "5\r\nhello\r\n",
    "1;ext=\"v\"\r\n", "Trailer: x\r\n", "A\n", "fffffffff\r\n"};
#define FRAGMENTS (sizeof fragments / sizeof *fragments)

static size_t put(uint8_t *wire, size_t at, const void *bytes, size_t n) {
    if (n > MAX_WIRE - at) n = MAX_WIRE - at;
    memcpy(wire + at, bytes, n);
    return at + n;
}

static size_t expand(const uint8_t *payload, size_t n, uint8_t *wire) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const char *fragment = fragments[payload[i] % FRAGMENTS];
        at = payload[i] < 128 ? put(wire, at, &payload[i], 1) : put(wire, at, fragment, strlen(fragment));
    }
    return at;
}

static size_t wrap(const uint8_t *body, size_t n, uint64_t random, uint8_t *wire) {
    size_t at = 0;
    char size[32];
    for (size_t from = 0; from < n;) {
        size_t chunk = 1 + next_random(&random) % 64;
        if (chunk > n - from) chunk = n - from;
        int head = snprintf(size, sizeof size, next_random(&random) % 8 ? "%zx\r\n" : "%zX;a=b\r\n", chunk);
        at = put(wire, at, size, (size_t)head);
        at = put(wire, at, body + from, chunk);
        at = put(wire, at, "\r\n", 2);
        from += chunk;
    }
    return put(wire, at, "0\r\n\r\n", 5);
}

/* --- one run of the decoder ---------------------------------------------------------------------------------------------- */

static void on_token(void *context, uint64_t stamp, uint64_t gap, uint64_t flags) {
    facts *f = context;
    if (f->tokens < MAX_TOKENS) f->token[f->tokens] = (token){stamp, gap, flags};
    f->tokens++;
}

static void add_path(fl_matcher *m, uint32_t classes, const char *path) {
    int node = 0;
    for (const char *at = path; *at;) {
        size_t n = strcspn(at, ".");
        node = n == 1 && *at == '*' ? fl_matcher_step(m, node, NULL, 0) : fl_matcher_step(m, node, (const uint8_t *)at, n);
        CHECK(node > 0);
        at += n + (at[n] == '.');
    }
    m->nodes[node].classes = (uint16_t)(m->nodes[node].classes | classes);
}

static void make_dialect(fl_dialect *d, bool needs_end, bool no_marker) {
    *d = (fl_dialect){.needs_end = needs_end};
    fl_matcher_init(&d->matcher);
    add_path(&d->matcher, FL_HAS_TEXT, "choices.*.delta.content");
    add_path(&d->matcher, FL_HAS_REASONING, "choices.*.delta.reasoning");
    add_path(&d->matcher, FL_HAS_TOOL, "choices.*.delta.tool_calls.*.function.arguments");
    add_path(&d->matcher, FL_HAS_USAGE, "usage");
    add_path(&d->matcher, FL_HAS_ERROR, "error");
    add_path(&d->matcher, FL_HAS_FINISH, "choices.*.finish_reason");
    add_path(&d->matcher, FL_HAS_PROBE, "system_fingerprint");
    if (no_marker) return;
    memcpy(d->done, "[DONE]", 6);
    d->done_bytes = 6;
}

/* Feed the wire in reads that end where `ends` says (ascending, the last one is n). */
static void run(const fl_dialect *dialect, const settings *s, const uint8_t *wire, const size_t *ends, size_t reads, facts *f) {
    fl_decoder d = {.text = {.limit = s->text_limit}, .stop_after = s->stop_after};
    fl_sink sink = {on_token, NULL, f};
    size_t from = 0;
    memset(f, 0, offsetof(facts, token));
    fl_decoder_start(&d, dialect, s->framing, s->length, s->format);
    for (size_t i = 0; i < reads && !f->done; i++) {
        size_t n = ends[i] - from, used = 0;
        uint8_t *exact = malloc(n ? n : 1);
        CHECK(exact != NULL);
        if (n) memcpy(exact, wire + from, n);
        f->done = fl_decoder_feed(&d, exact, n, ends[i], i + 1, &sink, &used) == FL_DONE;
        free(exact);
        CHECK(used <= n && (f->done || used == n));
        f->used += used;
        from = ends[i];
    }
    if (!f->done) fl_decoder_eof(&d, &sink);
    f->outcome = d.outcome;
    f->ended = d.ended;
    f->has_usage = d.has_usage;
    f->events = d.events;
    f->coalesced = d.coalesced;
    f->first_token = d.first_token_ns;
    f->first_answer = d.first_answer_ns;
    f->last_token = d.last_token_ns;
    f->max_gap = d.max_gap_ns;
    f->body_bytes = d.body_bytes;
    f->kept_bytes = d.kept.used;
    f->kept = malloc(f->kept_bytes ? f->kept_bytes : 1);
    CHECK(f->kept != NULL);
    if (f->kept_bytes) memcpy(f->kept, d.kept.bytes, f->kept_bytes);
    f->truncated = d.text.truncated;
    f->text_bytes = d.text.bytes.used;
    f->text = malloc(f->text_bytes ? f->text_bytes : 1);
    CHECK(f->text != NULL && f->text_bytes <= s->text_limit && (s->text_limit || !f->truncated));
    if (f->text_bytes) memcpy(f->text, d.text.bytes.bytes, f->text_bytes);
    CHECK(s->stop_after == 0 || f->events <= s->stop_after);
    fl_decoder_free(&d);
}

/* End of the read that holds the byte before `offset`. */
static size_t read_end(const size_t *ends, size_t reads, uint64_t offset) {
    for (size_t i = 0; i < reads; i++)
        if (ends[i] >= offset) return ends[i];
    return 0;
}

/* What a run must say, given what the run byte by byte said. */
static void compare(const facts *bytewise, const facts *f, const size_t *ends, size_t reads) {
    CHECK(f->outcome == bytewise->outcome && f->ended == bytewise->ended && f->has_usage == bytewise->has_usage);
    CHECK(f->events == bytewise->events && f->tokens == f->events && f->done == bytewise->done);
    CHECK(f->kept_bytes == bytewise->kept_bytes && memcmp(f->kept, bytewise->kept, f->kept_bytes) == 0);
    CHECK(f->text_bytes == bytewise->text_bytes && memcmp(f->text, bytewise->text, f->text_bytes) == 0 && f->truncated == bytewise->truncated);
    if (f->outcome == FL_COMPLETED) CHECK(f->body_bytes == bytewise->body_bytes && f->used == bytewise->used);
    CHECK((f->first_answer == 0) == (bytewise->first_answer == 0));
    if (f->first_answer) CHECK(f->first_answer == read_end(ends, reads, bytewise->first_answer));
    uint64_t max_gap = 0, coalesced = 0;
    for (size_t i = 0; i < f->tokens && i < MAX_TOKENS; i++) {
        const token *t = &f->token[i], *before = t - 1;
        CHECK(t->stamp == read_end(ends, reads, bytewise->token[i].stamp));
        CHECK(t->flags == (i == 0 ? FL_TOKEN_FIRST : t->stamp == before->stamp ? FL_TOKEN_COALESCED : 0));
        CHECK(t->gap == (i == 0 ? 0 : t->stamp - before->stamp));
        coalesced += (t->flags & FL_TOKEN_COALESCED) != 0;
        if (t->gap > max_gap) max_gap = t->gap;
    }
    if (f->tokens == 0 || f->tokens > MAX_TOKENS) return;
    CHECK(f->first_token == f->token[0].stamp && f->last_token == f->token[f->tokens - 1].stamp);
    CHECK(f->max_gap == max_gap && f->coalesced == coalesced);
}

static void check_splits(const fl_dialect *dialect, const settings *s, const uint8_t *wire, size_t n, uint64_t random) {
    static size_t every[MAX_WIRE], some[MAX_WIRE + 1];
    static facts bytewise, other;
    for (size_t i = 0; i < n; i++) every[i] = i + 1;
    /* No byte at all is a read too: the reactor hands over what came with the head, which may be nothing. */
    size_t none[1] = {0};
    run(dialect, s, wire, n ? every : none, n ? n : 1, &bytewise);
    for (int round = 0; round < 3; round++) {
        size_t reads = 0, longest = (size_t)4 << (next_random(&random) % 9);
        for (size_t at = 0; round && at < n;) {
            at += 1 + next_random(&random) % longest;
            some[reads++] = at < n ? at : n;
        }
        if (reads == 0) some[reads++] = n;
        run(dialect, s, wire, some, reads, &other);
        compare(&bytewise, &other, some, reads);
        free(other.kept);
        free(other.text);
    }
    compare(&bytewise, &bytewise, n ? every : none, n ? n : 1);
    free(bytewise.kept);
    free(bytewise.text);
}

/* All text together must be the inside of one JSON string. */
static void check_text(const fl_capture *c) {
    uint8_t *string = malloc(c->bytes.used + 1);
    CHECK(string != NULL);
    if (c->bytes.used) memcpy(string, c->bytes.bytes, c->bytes.used);
    string[c->bytes.used] = '"';
    CHECK(fl_json_string_end(string, string + c->bytes.used + 1) == string + c->bytes.used);
    free(string);
}

/* Every line is an event to one template and to the full scan. */
static void check_template(const fl_dialect *dialect, const uint8_t *text, size_t n) {
    fl_template template = {0};
    fl_capture whole = {.limit = SIZE_MAX}, captured = {.limit = SIZE_MAX};
    for (size_t at = 0; at < n;) {
        const uint8_t *stop = memchr(text + at, '\n', n - at);
        size_t bytes = stop ? (size_t)(stop - text) - at : n - at;
        size_t skip = bytes > 6 && memcmp(text + at, "data: ", 6) == 0 ? 6 : 0;
        fl_hits full, quick;
        uint8_t *exact = malloc(bytes - skip ? bytes - skip : 1);
        CHECK(exact != NULL);
        memcpy(exact, text + at + skip, bytes - skip);
        bool valid = fl_json_scan(&dialect->matcher, exact, bytes - skip, &full, &whole);
        CHECK(fl_template_scan(&template, &dialect->matcher, exact, bytes - skip, &quick, &captured) == valid);
        if (valid) CHECK(quick.classes == full.classes && quick.probe == full.probe);
        free(exact);
        at += bytes + 1;
    }
    CHECK(captured.bytes.used == whole.bytes.used && !captured.truncated && !whole.truncated);
    if (whole.bytes.used) CHECK(memcmp(captured.bytes.bytes, whole.bytes.bytes, whole.bytes.used) == 0);
    check_text(&whole);
    fl_buffer_free(&whole.bytes);
    fl_buffer_free(&captured.bytes);
    fl_buffer_free(&template.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n) {
    static uint8_t text[MAX_WIRE], wire[MAX_WIRE];
    static fl_dialect dialect;
    fl_hits hits;
    if (n < 4 || n > MAX_WIRE) return 0;
    settings s = {.framing = (fl_framing)(input[0] & 3), .format = (fl_format)(input[0] >> 2 & 3), .length = (uint64_t)input[2] << 8 | input[3]};
    if (s.format > FL_FORMAT_WHOLE) s.format = FL_FORMAT_SSE;
    s.text_limit = (size_t[]){0, 1, 3, 8, 20, 100, 1000, 1u << 20}[input[1] >> 5];
    s.stop_after = input[1] >> 3 & 3;
    make_dialect(&dialect, (input[0] & 16) != 0, (input[0] & 32) != 0);
    size_t bytes = input[0] & 64 ? expand(input + 4, n - 4, text) : put(text, 0, input + 4, n - 4);
    (void)fl_json_scan(&dialect.matcher, input + 4, n - 4, &hits, NULL);
    check_template(&dialect, text, bytes);
    if (input[0] & 128) bytes = wrap(text, bytes, input[1], wire);
    else memcpy(wire, text, bytes);
    check_splits(&dialect, &s, wire, bytes, input[1]);
    return 0;
}

#ifdef FL_STANDALONE
static int run_file(const char *name) {
    static uint8_t input[MAX_WIRE];
    FILE *file = fopen(name, "rb");
    if (file == NULL) return perror(name), 1;
    size_t n = fread(input, 1, sizeof input, file);
    int failed = ferror(file);
    fclose(file);
    uint8_t *exact = malloc(n ? n : 1);
    CHECK(exact != NULL);
    memcpy(exact, input, n);
    if (!failed) LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return failed != 0;
}

/* Mostly grammar, in chunks that are mostly valid; a few bytes of anything. */
static void run_random(uint64_t *random) {
    size_t n = 4 + next_random(random) % (next_random(random) % 16 ? 60 : MAX_INPUT - 4);
    uint8_t *input = malloc(n);
    CHECK(input != NULL);
    uint64_t style = next_random(random) % 8;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = next_random(random);
        input[i] = (uint8_t)(style ? r | (r >> 8 & 7 ? 128u : 0u) : r);
    }
    input[0] = (uint8_t)next_random(random);
    if (style > 1) input[0] = (uint8_t)((input[0] & ~3u) | 64u | 128u | FL_FRAME_CHUNKED);
    input[1] = (uint8_t)next_random(random);
    input[2] = (uint8_t)(next_random(random) % 2);
    LLVMFuzzerTestOneInput(input, n);
    free(input);
}

int main(int argc, char **argv) {
    uint64_t count = 0, seed = 1;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--random") == 0 && i + 1 < argc) count = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) seed = strtoull(argv[++i], NULL, 10);
        else failed |= run_file(argv[i]);
    }
    for (uint64_t i = 0; i < count; i++) run_random(&seed);
    return failed;
}
#endif

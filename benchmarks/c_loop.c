/* The floor: the least a client can do that stamps tokens in user space.
 *
 * One thread, one level-triggered epoll, one blocking epoll_wait for up to 256 sockets, and per ready socket exactly one read(2),
 * one clock reading, one memmem count of "data: " and one comparison of the last bytes with the end of a chunked body. It parses
 * neither HTTP nor JSON, keeps no statistics but totals and allocates nothing after start. Whatever measures more truthfully for
 * the same CPU per event has no overhead to speak of.
 *
 * usage: c_loop IPV4 PORT USERS SECONDS [USERS_PER_S]
 * Prints one JSON object. CPU time is user + system of this process from the first request to the end of SECONDS; connecting is
 * outside it. `events` counts every "data: " line, content or not: the caller knows how many of a response carry no content.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, READ_BYTES = 65536, TAIL = 7, USERS_MAX = 60000 };

static const char NEEDLE[] = "data: ";
static const char BODY_END[] = "\r\n0\r\n\r\n"; /* the last chunk, and the end of the one before it */
#define NEEDLE_BYTES (sizeof NEEDLE - 1)

_Static_assert(sizeof BODY_END - 1 == TAIL, "the tail kept per stream must hold the end of a body");

/* The last TAIL bytes of each stream are laid in front of what is read next, so that neither an event nor the end of a body that
 * was split by the network is missed. TAIL - NEEDLE_BYTES + 1 of them are outside the search: they were searched before. */
struct stream {
    int fd;
    bool fresh; /* nothing of the present response has been read */
    char tail[TAIL];
    uint64_t last_ns; /* when its last bytes were read */
};

struct totals {
    uint64_t events, reads, responses, bytes;
    uint64_t gap_sum_ns; /* keeps the stamp from being optimised away; printed */
};

static char request[1024];
static size_t request_bytes;
static struct stream streams[USERS_MAX];

static void die(const char *what) {
    fprintf(stderr, "c_loop: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) die("clock_gettime");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_s(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) die("getrusage");
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int connect_to(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) die("connect");
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die("TCP_NODELAY");
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) die("O_NONBLOCK");
    return fd;
}

static void send_request(struct stream *s) {
    ssize_t n = write(s->fd, request, request_bytes);
    if (n != (ssize_t)request_bytes) die("write of a request");
    s->fresh = true;
    memset(s->tail, 0, TAIL);
}

static void on_readable(struct stream *s, struct totals *t) {
    static char buffer[TAIL + READ_BYTES];
    char *const data = buffer + TAIL;
    ssize_t n = read(s->fd, data, READ_BYTES);
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        die(n == 0 ? "the server closed a stream" : "read");
    }
    if (s->fresh) {
        if (n >= 12 && memcmp(data, "HTTP/1.1 200", 12) != 0) {
            errno = EPROTO;
            die("the server did not answer 200");
        }
        s->fresh = false;
    } else {
        t->gap_sum_ns += now_ns - s->last_ns;
    }
    s->last_ns = now_ns;
    t->reads++;
    t->bytes += (uint64_t)n;

    memcpy(buffer, s->tail, TAIL);
    const char *end = data + n;
    const char *at = data - (NEEDLE_BYTES - 1);
    while ((at = memmem(at, (size_t)(end - at), NEEDLE, NEEDLE_BYTES)) != NULL) {
        t->events++;
        at += NEEDLE_BYTES;
    }
    if (memcmp(end - TAIL, BODY_END, TAIL) == 0) {
        t->responses++;
        send_request(s);
    } else {
        memcpy(s->tail, end - TAIL, TAIL);
    }
}

static int users_due(uint64_t elapsed_ns, double users_per_s, int users) {
    if (users_per_s <= 0) return users;
    double due = 1 + (double)elapsed_ns * 1e-9 * users_per_s;
    return due >= users ? users : (int)due;
}

static void run(int epoll, int users, uint64_t duration_ns, double users_per_s, struct totals *t) {
    struct epoll_event ready[BATCH];
    const uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    int started = 0;
    for (;;) {
        uint64_t elapsed_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
        if (elapsed_ns >= duration_ns) return;
        for (int due = started < users ? users_due(elapsed_ns, users_per_s, users) : users; started < due; started++)
            send_request(&streams[started]);
        /* While users are still being started it may not sleep past the next one; afterwards 100 ms serve to see the end. */
        int n = epoll_wait(epoll, ready, BATCH, started < users ? 1 : 100);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) on_readable(&streams[ready[i].data.u32], t);
    }
}

static int build_request(const char *host, int port) {
    static const char body[] = "{\"model\":\"mock\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                               "\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a story about a lighthouse.\"}]}";
    int n = snprintf(request, sizeof request,
                     "POST /v1/chat/completions HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
                     "Accept: text/event-stream\r\nContent-Length: %zu\r\n\r\n%s",
                     host, port, sizeof body - 1, body);
    return n > 0 && (size_t)n < sizeof request ? n : -1;
}

int main(int argc, char **argv) {
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: c_loop IPV4 PORT USERS SECONDS [USERS_PER_S]\n");
        return 2;
    }
    const int port = atoi(argv[2]), users = atoi(argv[3]);
    const double seconds = atof(argv[4]), users_per_s = argc == 6 ? atof(argv[5]) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1 || port < 1 || port > 65535 || users < 1 || users > USERS_MAX ||
        !(seconds > 0 && seconds <= 3600)) {
        fprintf(stderr, "c_loop: needs an IPv4 address, a port, 1 to %d users and at most 3600 seconds\n", USERS_MAX);
        return 2;
    }
    int n = build_request(argv[1], port);
    if (n < 0) die("request too long");
    request_bytes = (size_t)n;

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) die("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) die("setrlimit");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) die("epoll_create1");
    for (int i = 0; i < users; i++) {
        streams[i].fd = connect_to(&address);
        struct epoll_event interest = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, streams[i].fd, &interest) != 0) die("epoll_ctl");
    }

    struct totals t = {0};
    const double cpu_start_s = cpu_s();
    const uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    run(epoll, users, (uint64_t)(seconds * 1e9), users_per_s, &t);
    const double cpu = cpu_s() - cpu_start_s;
    const double wall = (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) * 1e-9;

    printf("{\"client\": \"c_loop\", \"users\": %d, \"events\": %llu, \"reads\": %llu, \"responses\": %llu, \"in_flight\": %d, "
           "\"bytes\": %llu, \"cpu_s\": %.6f, \"wall_s\": %.6f, \"events_per_s\": %.1f, ",
           users, (unsigned long long)t.events, (unsigned long long)t.reads, (unsigned long long)t.responses, users,
           (unsigned long long)t.bytes, cpu, wall, (double)t.events / wall);
    if (t.events == 0) {
        printf("\"cpu_us_per_event\": null, \"mean_read_gap_us\": null}\n");
    } else {
        printf("\"cpu_us_per_event\": %.4f, \"mean_read_gap_us\": %.1f}\n", cpu * 1e6 / (double)t.events,
               (double)t.gap_sum_ns * 1e-3 / (double)t.reads);
    }
    return 0;
}

/* Time: CLOCK_MONOTONIC for everything we keep, CLOCK_REALTIME only because the kernel stamps packets with it.
 *
 * The distance between the two moves (NTP slews it, an administrator steps it), so it is measured again at every drain pass.
 */
#ifndef FL_CLOCK_H
#define FL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* A change of the offset beyond this between two passes is a step, not slewing: slewing is at most 500 ppm. */
#define FL_STEP_NS 1000000

static inline uint64_t fl_clock_read(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static inline uint64_t fl_mono_ns(void) { return fl_clock_read(CLOCK_MONOTONIC); }

typedef struct fl_clock {
    int64_t offset_ns;   /* real - mono, as last measured */
    int64_t previous_ns; /* the offset before the last step */
    uint64_t stepped_ns; /* monotonic moment of the last step; 0 = never */
    uint64_t steps;
    bool measured;
} fl_clock;

/* Measure the offset again. Returns the monotonic time, so a caller that needs it does not ask twice. */
uint64_t fl_clock_sync(fl_clock *clock);

/* Convert a kernel stamp (wall clock, ns) to the monotonic clock. `now_ns` is the moment of the read: a stamp after it means that
 * the wall clock was stepped between the packet and the measurement, and the offset before the step is tried. Returns 0 when no
 * offset gives a possible time; the caller then has no kernel stamp. */
uint64_t fl_clock_to_mono(const fl_clock *clock, uint64_t real_ns, uint64_t now_ns);

#endif

#define _GNU_SOURCE
#include "fl_clock.h"

#include <assert.h>

/* Reading real between two monotonic reads bounds the error by half their distance; a pre-emption in between is seen as a
 * large distance and tried again. */
#define FL_SANDWICH_NS 2000
#define FL_SANDWICH_TRIES 4

uint64_t fl_clock_sync(fl_clock *clock) {
    uint64_t before = 0, after = 0, real = 0;
    assert(clock != NULL);
    for (int i = 0; i < FL_SANDWICH_TRIES; i++) {
        before = fl_mono_ns();
        real = fl_clock_read(CLOCK_REALTIME);
        after = fl_mono_ns();
        if (after - before <= FL_SANDWICH_NS) break;
    }
    if (after - before > FL_SANDWICH_NS && clock->measured) return after; /* too noisy a moment: keep what we have */
    int64_t offset = (int64_t)real - (int64_t)(before + (after - before) / 2);
    int64_t moved = offset - clock->offset_ns;
    if (clock->measured && (moved > FL_STEP_NS || moved < -FL_STEP_NS)) {
        clock->previous_ns = clock->offset_ns;
        clock->stepped_ns = after;
        clock->steps++;
    }
    clock->offset_ns = offset;
    clock->measured = true;
    return after;
}

/* How long after a step a stamp from before it may still turn up in a receive queue. */
#define FL_STEP_MEMORY_NS UINT64_C(5000000000)
/* Two clocks read one after the other may disagree by the sandwich's error. */
#define FL_SKEW_NS 5000

static uint64_t fl_with_offset(int64_t offset_ns, uint64_t real_ns, uint64_t now_ns) {
    int64_t mono = (int64_t)real_ns - offset_ns;
    if (mono <= 0 || mono > (int64_t)now_ns + FL_SKEW_NS) return 0;
    return mono > (int64_t)now_ns ? now_ns : (uint64_t)mono;
}

uint64_t fl_clock_to_mono(const fl_clock *clock, uint64_t real_ns, uint64_t now_ns) {
    assert(clock != NULL && clock->measured);
    uint64_t mono = fl_with_offset(clock->offset_ns, real_ns, now_ns);
    if (clock->stepped_ns == 0 || now_ns - clock->stepped_ns > FL_STEP_MEMORY_NS) return mono;
    /* Shortly after a step both offsets are possible. A packet waits microseconds to milliseconds, a step is more: the later
     * of the two possible times is the true one. */
    uint64_t old = fl_with_offset(clock->previous_ns, real_ns, now_ns);
    return old > mono ? old : mono;
}

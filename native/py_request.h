/* What Python hands over with a request: its bytes, held while the reactor may read them, and its options. */
#ifndef PY_REQUEST_H
#define PY_REQUEST_H

#include "py_binding.h"

#include "fl_reactor.h"

/* References to the bytes of one request, in one of two forms; all NULL when there are none. */
typedef struct py_held {
    PyObject *bytes;
    struct py_blocks *blocks;
} py_held;

/* Take references to `data`: bytes, or a tuple of objects with contiguous buffers. *vectors is what to send: `one`, or an array that
 * lives as long as the references. Returns how many there are, or -1 with an exception set and nothing held. */
int py_hold(py_held *held, PyObject *data, struct iovec *one, struct iovec **vectors);
void py_release(py_held *held);

/* Read a request's options: None, or (text_limit, want_first, cancel_after_events, asked_tokens). Returns 0, or -1 with an exception. */
int py_request_options(fl_request *request, PyObject *options);

#endif

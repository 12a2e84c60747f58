/* Shared by the thin C-API bindings; nothing here knows how anything works. Limited API of Python 3.11: one binary for all later ones. */
#ifndef PY_BINDING_H
#define PY_BINDING_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "fl_decoder.h"

extern PyType_Spec py_reactor_spec;
extern PyType_Spec py_ring_reader_spec;
extern PyType_Spec py_decoder_spec;
extern PyType_Spec py_pump_spec;

/* Fill a dialect from Python: paths is a sequence of (class, steps), steps a tuple of bytes (a key) or None (every array element).
 * Returns 0, or -1 with an exception set. */
int py_dialect_fill(fl_dialect *dialect, PyObject *paths, PyObject *done, int needs_end);
/* Fill the dialects of a sequence of (paths, done, needs_end). */
int py_dialects_fill(fl_dialect *dialects, PyObject *sequence, Py_ssize_t n);

/* Read integer arguments; on failure an exception is set and *ok becomes 0. */
static inline uint64_t py_u64(PyObject *o, int *ok) {
    unsigned long long v = PyLong_AsUnsignedLongLong(o);
    if (v == (unsigned long long)-1 && PyErr_Occurred()) *ok = 0;
    return v;
}

static inline int py_arity(Py_ssize_t have, Py_ssize_t want, const char *name) {
    if (have == want) return 1;
    PyErr_Format(PyExc_TypeError, "%s takes exactly %zd arguments, got %zd", name, want, have);
    return 0;
}

/* The same where the last argument may be left out. */
static inline int py_arity_or_less(Py_ssize_t have, Py_ssize_t most, const char *name) {
    return have == most - 1 || py_arity(have, most, name);
}

#endif

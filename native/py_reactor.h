/* Python's reactor object, shared by the two files of its methods. */
#ifndef PY_REACTOR_H
#define PY_REACTOR_H

#include "py_request.h"

typedef struct py_reactor {
    PyObject_HEAD
    fl_reactor reactor;
    Py_buffer shared; /* keeps the mapping alive */
    py_held *sending; /* by slot: the request bytes the reactor may still read */
    uint32_t sending_room;
    int ready; /* 1: the shared block is held; 2: usable */
} py_reactor;

/* The reactor of an object whose __init__ succeeded; otherwise NULL with an exception set. */
fl_reactor *py_usable(PyObject *o);
/* The connection of a slot, in the state that a call needs; otherwise NULL with an exception set. */
fl_conn *py_conn_in(py_reactor *self, PyObject *slot_arg, fl_conn_state state, const char *what);

/* py_records.c */
PyObject *py_commit(PyObject *o, PyObject *const *args, Py_ssize_t n);
PyObject *py_text(PyObject *o, PyObject *slot);
PyObject *py_text_truncated(PyObject *o, PyObject *slot);
PyObject *py_record(PyObject *o, PyObject *args, PyObject *kwargs);
PyObject *py_note_stall(PyObject *o, PyObject *arg);

#endif

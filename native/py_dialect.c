/* Turns a dialect's compiled paths into the native matcher. */
#include "py_binding.h"

#include <string.h>

/* PyArg_ParseTuple takes anything but a tuple for a mistake of ours. */
static int py_is_tuple(PyObject *o) {
    if (PyTuple_Check(o)) return 1;
    PyErr_SetString(PyExc_TypeError, "a dialect is a tuple, and so is each of its paths");
    return 0;
}

static int py_add_path(fl_matcher *m, uint64_t classes, PyObject *steps) {
    int node = 0;
    Py_ssize_t n = PyTuple_Size(steps);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *step = PyTuple_GetItem(steps, i);
        char *key = NULL;
        Py_ssize_t key_bytes = 0;
        if (step != Py_None && PyBytes_AsStringAndSize(step, &key, &key_bytes) < 0) return -1;
        node = fl_matcher_step(m, node, (const uint8_t *)key, (size_t)key_bytes);
        if (node < 0) {
            PyErr_SetString(PyExc_ValueError, "the dialect has more paths than the matcher holds");
            return -1;
        }
    }
    if (n < 0 || node == 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "a path needs at least one step");
        return -1;
    }
    m->nodes[node].classes = (uint16_t)(m->nodes[node].classes | classes);
    return 0;
}

int py_dialect_fill(fl_dialect *dialect, PyObject *paths, PyObject *done, int needs_end) {
    char *marker;
    Py_ssize_t marker_bytes, n = PySequence_Size(paths);
    if (n < 0 || PyBytes_AsStringAndSize(done, &marker, &marker_bytes) < 0) return -1;
    if ((size_t)marker_bytes > sizeof dialect->done) {
        PyErr_Format(PyExc_ValueError, "the end marker is longer than %zu bytes", sizeof dialect->done);
        return -1;
    }
    fl_matcher_init(&dialect->matcher);
    memcpy(dialect->done, marker, (size_t)marker_bytes);
    dialect->done_bytes = (size_t)marker_bytes;
    dialect->needs_end = needs_end != 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *pair = PySequence_GetItem(paths, i), *steps;
        unsigned int classes;
        if (pair == NULL) return -1;
        int bad = !py_is_tuple(pair) || !PyArg_ParseTuple(pair, "IO!", &classes, &PyTuple_Type, &steps) ||
                  py_add_path(&dialect->matcher, classes, steps) < 0;
        Py_DECREF(pair);
        if (bad) return -1;
    }
    return 0;
}

int py_dialects_fill(fl_dialect *dialects, PyObject *sequence, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *three = PySequence_GetItem(sequence, i), *paths, *done;
        int needs_end;
        if (three == NULL) return -1;
        int bad = !py_is_tuple(three) || !PyArg_ParseTuple(three, "OOp", &paths, &done, &needs_end) ||
                  py_dialect_fill(&dialects[i], paths, done, needs_end) < 0;
        Py_DECREF(three);
        if (bad) return -1;
    }
    return 0;
}

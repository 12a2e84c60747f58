/* The bytes of requests: held without a copy, as one bytes object or as blocks that requests share, such as a long common prompt. */
#include "py_request.h"

typedef struct py_blocks {
    Py_ssize_t count;
    struct iovec vectors[FL_MAX_BLOCKS]; /* used up while sending */
    Py_buffer views[];
} py_blocks;

static int py_hold_blocks(py_held *held, PyObject *data) {
    Py_ssize_t count = PyTuple_Size(data);
    if (count < 1 || count > FL_MAX_BLOCKS)
        return PyErr_Format(PyExc_ValueError, "a request of %zd blocks: 1 to %d are possible", count, FL_MAX_BLOCKS), -1;
    held->blocks = PyMem_Malloc(sizeof(py_blocks) + (size_t)count * sizeof(Py_buffer));
    if (held->blocks == NULL) return PyErr_NoMemory(), -1;
    for (held->blocks->count = 0; held->blocks->count < count; held->blocks->count++) {
        Py_buffer *view = &held->blocks->views[held->blocks->count];
        if (PyObject_GetBuffer(PyTuple_GetItem(data, held->blocks->count), view, PyBUF_SIMPLE) < 0) return py_release(held), -1;
        held->blocks->vectors[held->blocks->count] = (struct iovec){view->buf, (size_t)view->len};
    }
    return (int)count;
}

int py_hold(py_held *held, PyObject *data, struct iovec *one, struct iovec **vectors) {
    py_release(held);
    if (PyTuple_Check(data)) {
        int count = py_hold_blocks(held, data);
        if (count > 0) *vectors = held->blocks->vectors;
        return count;
    }
    char *bytes = NULL;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0) return -1;
    *one = (struct iovec){bytes, (size_t)size};
    *vectors = one;
    held->bytes = Py_NewRef(data);
    return 1;
}

void py_release(py_held *held) {
    Py_CLEAR(held->bytes);
    if (held->blocks == NULL) return;
    for (Py_ssize_t i = 0; i < held->blocks->count; i++) PyBuffer_Release(&held->blocks->views[i]);
    PyMem_Free(held->blocks);
    held->blocks = NULL;
}

int py_request_options(fl_request *request, PyObject *options) {
    int ok = 1;
    if (options == Py_None) return 0;
    if (!PyTuple_Check(options) || PyTuple_Size(options) != 4)
        return PyErr_SetString(PyExc_TypeError, "options are None or (text_limit, want_first, cancel_after_events, asked_tokens)"), -1;
    uint64_t limit = py_u64(PyTuple_GetItem(options, 0), &ok), cancel_after = py_u64(PyTuple_GetItem(options, 2), &ok),
             asked = py_u64(PyTuple_GetItem(options, 3), &ok);
    int first = PyObject_IsTrue(PyTuple_GetItem(options, 1));
    if (!ok || first < 0) return -1;
    if (limit > FL_WHOLE_LIMIT || cancel_after > UINT32_MAX || asked > UINT32_MAX)
        return PyErr_SetString(PyExc_ValueError, "options: out of range"), -1;
    request->text_limit = (uint32_t)limit;
    request->want_first = first != 0;
    request->cancel_after_events = (uint32_t)cancel_after;
    request->asked_tokens = (uint32_t)asked;
    return 0;
}

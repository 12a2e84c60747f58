/* The consumer's end of a ring: indices only; the records are read in place by numpy and numba. */
#include "py_binding.h"

#include "fl_ring.h"

typedef struct py_ring_reader {
    PyObject_HEAD
    Py_buffer shared;
    fl_ring_header *header;
} py_ring_reader;

static int py_ring_init(PyObject *o, PyObject *args, PyObject *kwargs) {
    py_ring_reader *self = (py_ring_reader *)o;
    static char *names[] = {"shared", "offset", NULL};
    PyObject *shared;
    unsigned long long offset;
    if (self->header != NULL) return PyErr_SetString(PyExc_RuntimeError, "already initialised"), -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OK", names, &shared, &offset)) return -1;
    if (PyObject_GetBuffer(shared, &self->shared, PyBUF_WRITABLE) < 0) return -1;
    unsigned long long have = (unsigned long long)self->shared.len;
    if (offset % 64 || have < sizeof(fl_ring_header) || offset > have - sizeof(fl_ring_header)) {
        PyBuffer_Release(&self->shared);
        return PyErr_SetString(PyExc_ValueError, "no ring header at this offset"), -1;
    }
    self->header = (fl_ring_header *)(void *)((unsigned char *)self->shared.buf + offset);
    return 0;
}

static void py_ring_dealloc(PyObject *o) {
    py_ring_reader *self = (py_ring_reader *)o;
    PyTypeObject *type = Py_TYPE(o);
    if (self->header != NULL) PyBuffer_Release(&self->shared);
    PyObject_Free(o);
    Py_DECREF(type);
}

static PyObject *py_ring_indices(PyObject *o, PyObject *none) {
    const fl_ring_header *h = ((py_ring_reader *)o)->header;
    (void)none;
    if (h == NULL) return PyErr_SetString(PyExc_RuntimeError, "not initialised"), NULL;
    /* acquire: pairs with the producer's release, so every record below `written` is whole */
    unsigned long long written = atomic_load_explicit(&h->written, memory_order_acquire);
    unsigned long long read = atomic_load_explicit(&h->read, memory_order_relaxed); /* ours */
    unsigned long long lost = atomic_load_explicit(&h->lost, memory_order_relaxed);
    return Py_BuildValue("(KKK)", read, written, lost);
}

static PyObject *py_ring_release(PyObject *o, PyObject *arg) {
    py_ring_reader *self = (py_ring_reader *)o;
    int ok = 1;
    uint64_t read = py_u64(arg, &ok);
    if (!ok) return NULL;
    if (self->header == NULL || read > atomic_load_explicit(&self->header->written, memory_order_acquire) ||
        read < atomic_load_explicit(&self->header->read, memory_order_relaxed))
        return PyErr_SetString(PyExc_ValueError, "release: outside what is unread"), NULL;
    /* release: our reads of the records happen before the producer may overwrite them */
    atomic_store_explicit(&self->header->read, read, memory_order_release);
    Py_RETURN_NONE;
}

static PyMethodDef py_ring_methods[] = {
    {"indices", py_ring_indices, METH_NOARGS, "Return (read, written, lost); records read..written-1 may be read in place."},
    {"release", py_ring_release, METH_O, "release(read): give everything below this index back to the producer."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot py_ring_slots[] = {{Py_tp_init, py_ring_init},
                                      {Py_tp_dealloc, py_ring_dealloc},
                                      {Py_tp_methods, py_ring_methods},
                                      {Py_tp_doc, "The consumer's end of a ring in shared memory; see native/fl_ring.h."},
                                      {0, NULL}};
PyType_Spec py_ring_reader_spec = {"fastload._native.RingReader", sizeof(py_ring_reader), 0, Py_TPFLAGS_DEFAULT, py_ring_slots};

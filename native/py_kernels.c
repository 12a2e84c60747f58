/* The kernels compiled ahead of time (native/build_kernels.py) behind the buffer protocol.
 *
 * Takes what the just-in-time signatures of fastload/stats/kernels.py take and refuses the same with a TypeError: another item type,
 * another number of dimensions, an array that is not C-contiguous or not aligned, a read-only one to write to. Beyond them it checks
 * every length against those the object was compiled with, so that no call can reach outside of an array it was given: ValueError.
 * Invariant: the kernels run without the GIL, and every buffer is released on every path. */
#include "py_kernels.h"

#ifdef FL_KERNELS

/* From the object; hidden there, as everything is in this library but PyInit. */
extern const char fl_kernels_target[], fl_kernels_compiler[], fl_kernels_source[];
extern const int64_t fl_kernels_lengths[4]; /* buckets of a histogram, columns of moments, columns of totals, coarse buckets */
extern intptr_t fl_bin_tokens(const uint64_t *words, intptr_t n, intptr_t start, uint64_t begin, uint64_t end, uint64_t *gaps,
                              uint64_t *moments, uint64_t *totals, intptr_t endpoints, uint64_t *events, const int32_t *slots,
                              intptr_t seconds, uint32_t *rows, intptr_t n_rows);
extern intptr_t fl_bin_values(const uint64_t *values, intptr_t n, uint64_t *counts);
extern intptr_t fl_quantile_buckets(const uint64_t *counts, intptr_t buckets, const uint64_t *ranks, intptr_t n, int64_t *out);

/* What an argument has to be. `formats` are the struct codes that mean this item type on an LP64 machine. */
typedef struct { const char *name, *formats; Py_ssize_t itemsize; int dimensions, written; } py_array;

enum { PY_ARRAYS = 7 };

/* Views of one call's arrays, released together. */
typedef struct { Py_buffer view[PY_ARRAYS]; int taken; } py_views;

static PyObject *py_views_release(py_views *v, PyObject *result) {
    while (v->taken > 0) PyBuffer_Release(&v->view[--v->taken]);
    return result;
}

static const char *py_array_fault(const py_array *want, const Py_buffer *b) {
    const char *format = b->format == NULL ? "B" : b->format;
    if (format[0] == '@') format++; /* native order and size, which is also what no prefix means */
    if (format[0] == '\0' || format[1] != '\0' || strchr(want->formats, format[0]) == NULL || b->itemsize != want->itemsize)
        return "another item type";
    if (b->ndim != want->dimensions) return "another number of dimensions";
    if (!PyBuffer_IsContiguous(b, 'C')) return "an array that is not C-contiguous";
    if ((uintptr_t)b->buf % (uintptr_t)want->itemsize != 0) return "an array that is not aligned";
    return want->written && b->readonly ? "a read-only array to write to" : NULL;
}

static int py_views_take(py_views *v, PyObject *o, const py_array *want) {
    Py_buffer *b = &v->view[v->taken];
    if (PyObject_GetBuffer(o, b, PyBUF_FULL_RO) < 0) return 0;
    v->taken++;
    const char *fault = py_array_fault(want, b);
    if (fault != NULL) PyErr_Format(PyExc_TypeError, "%s: %s", want->name, fault);
    return fault == NULL;
}

/* Any integer, numpy's included. */
static uint64_t py_index_u64(PyObject *o, int *ok) {
    PyObject *number = PyNumber_Index(o);
    if (number == NULL) return *ok = 0, 0;
    uint64_t value = py_u64(number, ok);
    Py_DECREF(number);
    return value;
}

static int py_length(const char *name, Py_ssize_t have, int64_t want) {
    if (have == want) return 1;
    PyErr_Format(PyExc_ValueError, "%s: length %zd where %lld is needed", name, have, (long long)want);
    return 0;
}

static int py_tokens_lengths(const Py_buffer *b) {
    Py_ssize_t endpoints = b[1].shape[0], seconds = b[5].shape[0];
    return py_length("words", b[0].shape[1], 2) && py_length("gaps", b[1].shape[1], fl_kernels_lengths[0]) &&
           py_length("moments", b[2].shape[0], endpoints) && py_length("moments", b[2].shape[1], fl_kernels_lengths[1]) &&
           py_length("totals", b[3].shape[0], endpoints) && py_length("totals", b[3].shape[1], fl_kernels_lengths[2]) &&
           py_length("second_events", b[4].shape[0], seconds) && py_length("rows", b[6].shape[1], fl_kernels_lengths[3]);
}

/* Every row a second names exists: some thousand seconds at the most, against the samples of a whole ring. */
static int py_slots_exist(const Py_buffer *slots, Py_ssize_t rows) {
    const int32_t *slot = slots->buf;
    for (Py_ssize_t i = 0; i < slots->shape[0]; i++)
        if (slot[i] >= rows) return PyErr_Format(PyExc_ValueError, "slot_of_second: %d of %zd rows", (int)slot[i], rows), 0;
    return 1;
}

static PyObject *py_bin_tokens(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    static const py_array arrays[] = {
        {"words", "LQ", 8, 2, 0},         {"gaps", "LQ", 8, 2, 1},          {"moments", "LQ", 8, 2, 1}, {"totals", "LQ", 8, 2, 1},
        {"second_events", "LQ", 8, 1, 1}, {"slot_of_second", "i", 4, 1, 1}, {"rows", "I", 4, 2, 1}};
    py_views v = {.taken = 0};
    int ok = 1;
    (void)module;
    if (!py_arity(n, 10, "bin_tokens")) return NULL;
    Py_ssize_t start = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
    if (start == -1 && PyErr_Occurred()) return NULL;
    uint64_t begin = py_index_u64(args[2], &ok), end = ok ? py_index_u64(args[3], &ok) : 0;
    if (!ok || !py_views_take(&v, args[0], &arrays[0])) return py_views_release(&v, NULL);
    for (int i = 1; i < PY_ARRAYS; i++)
        if (!py_views_take(&v, args[i + 3], &arrays[i])) return py_views_release(&v, NULL);
    const Py_buffer *b = v.view;
    Py_ssize_t samples = b[0].shape[0], rows = b[6].shape[0];
    if (!py_tokens_lengths(b) || !py_slots_exist(&b[5], rows)) return py_views_release(&v, NULL);
    if (start < 0 || start > samples) {
        PyErr_Format(PyExc_ValueError, "start: %zd of %zd samples", start, samples);
        return py_views_release(&v, NULL);
    }
    intptr_t done;
    Py_BEGIN_ALLOW_THREADS
    done = fl_bin_tokens(b[0].buf, samples, start, begin, end, b[1].buf, b[2].buf, b[3].buf, b[1].shape[0], b[4].buf, b[5].buf,
                         b[5].shape[0], b[6].buf, rows);
    Py_END_ALLOW_THREADS
    return py_views_release(&v, PyLong_FromSsize_t(done));
}

static PyObject *py_bin_values(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    static const py_array values = {"values", "LQ", 8, 1, 0}, counts = {"counts", "LQ", 8, 1, 1};
    py_views v = {.taken = 0};
    (void)module;
    if (!py_arity(n, 2, "bin_values")) return NULL;
    if (!py_views_take(&v, args[0], &values) || !py_views_take(&v, args[1], &counts) ||
        !py_length("counts", v.view[1].shape[0], fl_kernels_lengths[0]))
        return py_views_release(&v, NULL);
    intptr_t done;
    Py_BEGIN_ALLOW_THREADS
    done = fl_bin_values(v.view[0].buf, v.view[0].shape[0], v.view[1].buf);
    Py_END_ALLOW_THREADS
    return py_views_release(&v, PyLong_FromSsize_t(done));
}

static PyObject *py_quantile_buckets(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    static const py_array counts = {"counts", "LQ", 8, 1, 0}, ranks = {"ranks", "LQ", 8, 1, 0}, out = {"out", "lq", 8, 1, 1};
    py_views v = {.taken = 0};
    (void)module;
    if (!py_arity(n, 3, "quantile_buckets")) return NULL;
    if (!py_views_take(&v, args[0], &counts) || !py_views_take(&v, args[1], &ranks) || !py_views_take(&v, args[2], &out) ||
        !py_length("out", v.view[2].shape[0], v.view[1].shape[0]))
        return py_views_release(&v, NULL);
    intptr_t found;
    Py_BEGIN_ALLOW_THREADS
    found = fl_quantile_buckets(v.view[0].buf, v.view[0].shape[0], v.view[1].buf, v.view[1].shape[0], v.view[2].buf);
    Py_END_ALLOW_THREADS
    return py_views_release(&v, PyLong_FromSsize_t(found));
}

#else

static const char *const fl_kernels_target = NULL, *const fl_kernels_compiler = NULL, *const fl_kernels_source = NULL;

static PyObject *py_not_linked(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    (void)module, (void)args, (void)n;
    PyErr_SetString(PyExc_ImportError, "no kernels are linked into this build of fastload._native; numba compiles them just in time");
    return NULL;
}

#define py_bin_tokens py_not_linked
#define py_bin_values py_not_linked
#define py_quantile_buckets py_not_linked

#endif

static PyMethodDef py_kernels_functions[] = {
    {"bin_tokens", (PyCFunction)(void *)py_bin_tokens, METH_FASTCALL, "fastload.stats.kernels.bin_tokens, compiled ahead of time."},
    {"bin_values", (PyCFunction)(void *)py_bin_values, METH_FASTCALL, "fastload.stats.kernels.bin_values, compiled ahead of time."},
    {"quantile_buckets", (PyCFunction)(void *)py_quantile_buckets, METH_FASTCALL,
     "fastload.stats.kernels.quantile_buckets, compiled ahead of time."},
    {NULL, NULL, 0, NULL}};

static int py_add_text(PyObject *module, const char *name, const char *text) {
    PyObject *value = text == NULL ? Py_NewRef(Py_None) : PyUnicode_FromString(text);
    int failed = value == NULL ? -1 : PyModule_AddObjectRef(module, name, value);
    Py_XDECREF(value);
    return failed;
}

int py_kernels_add(PyObject *module) {
    if (py_add_text(module, "KERNELS", fl_kernels_target) < 0 || py_add_text(module, "KERNELS_COMPILER", fl_kernels_compiler) < 0 ||
        py_add_text(module, "KERNELS_SOURCE", fl_kernels_source) < 0)
        return -1;
    return PyModule_AddFunctions(module, py_kernels_functions);
}

/* Pump: the Python face of fl_pump.h (limited API). One method call per answer and one per wake-up, never one per token. */
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "fl_pump.h"

#define COALESCE_MAX 10000

extern PyType_Spec py_pump_spec;

typedef struct {
    PyObject_HEAD
    fl_pump *pump;
    bool running; /* in fl_pump_run without the GIL: no other thread may come in */
} py_pump;

static fl_pump *idle(PyObject *self) {
    py_pump *me = (py_pump *)self;
    if (me->pump != NULL && !me->running) return me->pump;
    PyErr_SetString(PyExc_RuntimeError, me->running ? "the pump is running in another thread" : "the pump was not initialised");
    return NULL;
}

static PyObject *py_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return allocate(type, 0);
}

/* Borrow the texts of a tuple of bytes; false with an exception set. */
static bool borrow_words(PyObject *words, const char **texts, size_t *sizes, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) {
        char *text;
        Py_ssize_t size;
        PyObject *item = PyTuple_GetItem(words, i);
        if (item == NULL || PyBytes_AsStringAndSize(item, &text, &size) < 0) return false;
        if (size > UINT16_MAX) {
            PyErr_SetString(PyExc_ValueError, "a token is at most 65,535 bytes");
            return false;
        }
        texts[i] = text;
        sizes[i] = (size_t)size;
    }
    return true;
}

static int py_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"words", "coalesce", "stall_every_ns", "stall_length_ns", "epoch_ns", "seed", NULL};
    PyObject *words;
    unsigned int coalesce;
    unsigned long long every, length, epoch, seed;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!$IKKKK", names, &PyTuple_Type, &words, &coalesce, &every, &length, &epoch, &seed))
        return -1;
    py_pump *me = (py_pump *)self;
    Py_ssize_t n = PyTuple_Size(words);
    if (me->pump != NULL || n < 1 || n > UINT16_MAX || coalesce < 1 || coalesce > COALESCE_MAX || (every && length >= every)) {
        PyErr_SetString(PyExc_ValueError, "words must not be empty, coalesce 1 to 10000, stall_length_ns below stall_every_ns");
        return -1;
    }
    int result = -1;
    const char **texts = PyMem_Calloc((size_t)n, sizeof *texts);
    size_t *sizes = PyMem_Calloc((size_t)n, sizeof *sizes);
    if (texts == NULL || sizes == NULL) {
        PyErr_NoMemory();
    } else if (borrow_words(words, texts, sizes, n)) {
        fl_pump_options options = {.words = texts, .word_bytes = sizes, .words_count = (size_t)n, .coalesce = coalesce,
                                   .stall_every_ns = every, .stall_length_ns = length, .epoch_ns = epoch, .seed = seed};
        me->pump = fl_pump_create(&options);
        if (me->pump != NULL) result = 0;
        else PyErr_SetFromErrno(PyExc_OSError);
    }
    PyMem_Free(texts);
    PyMem_Free(sizes);
    return result;
}

static void py_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    fl_pump_destroy(((py_pump *)self)->pump);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *py_fileno(PyObject *self, PyObject *ignored) {
    (void)ignored;
    fl_pump *pump = idle(self);
    return pump == NULL ? NULL : PyLong_FromLong(fl_pump_fd(pump));
}

static PyObject *opened(int64_t id) {
    return id == -2 ? PyErr_NoMemory() : PyLong_FromLongLong(id);
}

static PyObject *py_stream(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "arrival_ns", "ttft_ns", "itl_ns", "jitter", "tokens", "chunked",
                            "head", "prefix", "middle", "suffix", "tail", NULL};
    fl_pump *pump = idle(self);
    if (pump == NULL) return NULL;
    fl_pump_answer answer = {0};
    unsigned long long arrival, ttft, itl;
    int chunked;
    const char *middle;
    Py_ssize_t head_n, prefix_n, middle_n, suffix_n, tail_n;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i$KKKdIpy#y#z#y#y#", names, &answer.fd, &arrival, &ttft, &itl, &answer.jitter,
                                     &answer.tokens, &chunked, &answer.head, &head_n, &answer.prefix, &prefix_n, &middle, &middle_n,
                                     &answer.suffix, &suffix_n, &answer.tail, &tail_n))
        return NULL;
    if (answer.tokens == 0) {
        PyErr_SetString(PyExc_ValueError, "a stream has at least one token");
        return NULL;
    }
    answer.arrival_ns = arrival;
    answer.ttft_ns = ttft;
    answer.itl_ns = itl;
    answer.chunked = chunked;
    answer.send_clock = middle != NULL;
    answer.middle = middle != NULL ? middle : "";
    answer.middle_bytes = middle != NULL ? (size_t)middle_n : 0;
    answer.head_bytes = (size_t)head_n;
    answer.prefix_bytes = (size_t)prefix_n;
    answer.suffix_bytes = (size_t)suffix_n;
    answer.tail_bytes = (size_t)tail_n;
    return opened(fl_pump_open(pump, &answer));
}

static PyObject *py_reply(PyObject *self, PyObject *args) {
    fl_pump *pump = idle(self);
    if (pump == NULL) return NULL;
    unsigned long long due;
    Py_ssize_t n;
    fl_pump_answer answer = {.head = "", .prefix = "", .middle = "", .suffix = ""};
    if (!PyArg_ParseTuple(args, "iKy#", &answer.fd, &due, &answer.tail, &n)) return NULL;
    answer.arrival_ns = due;
    answer.tail_bytes = (size_t)n;
    return opened(fl_pump_open(pump, &answer));
}

static PyObject *py_cancel(PyObject *self, PyObject *id) {
    fl_pump *pump = idle(self);
    if (pump == NULL) return NULL;
    unsigned long long value = PyLong_AsUnsignedLongLong(id);
    if (PyErr_Occurred()) return NULL;
    return PyBool_FromLong(fl_pump_cancel(pump, value));
}

static PyObject *py_run_due(PyObject *self, PyObject *budget) {
    fl_pump *pump = idle(self);
    if (pump == NULL) return NULL;
    unsigned long long budget_ns = PyLong_AsUnsignedLongLong(budget);
    if (PyErr_Occurred()) return NULL;
    py_pump *me = (py_pump *)self;
    const fl_pump_done *done = NULL;
    me->running = true;
    int64_t n;
    Py_BEGIN_ALLOW_THREADS
    n = fl_pump_run(pump, budget_ns, &done);
    Py_END_ALLOW_THREADS
    me->running = false;
    if (n < 0) return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (int64_t i = 0; list != NULL && i < n; i++) {
        PyObject *pair = Py_BuildValue("(KO)", (unsigned long long)done[i].id, done[i].outcome == FL_PUMP_GONE ? Py_True : Py_False);
        if (pair == NULL || PyList_SetItem(list, (Py_ssize_t)i, pair) < 0) Py_CLEAR(list);
    }
    return list;
}

/* (count, sum_ns, max_ns, occupied bins as native 64-bit (bin, count) pairs) */
static PyObject *histogram(const fl_linear *h) {
    size_t n = fl_linear_occupied(h, NULL, 0);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n * 16));
    if (bytes == NULL) return NULL;
    uint64_t *pairs = PyMem_Calloc(n + 1, 16); /* aligned, which the body of a bytes object need not be */
    if (pairs == NULL) {
        Py_DECREF(bytes);
        return PyErr_NoMemory();
    }
    fl_linear_occupied(h, pairs, n);
    memcpy(PyBytes_AsString(bytes), pairs, n * 16);
    PyMem_Free(pairs);
    return Py_BuildValue("(KKKN)", (unsigned long long)h->count, (unsigned long long)h->sum_ns, (unsigned long long)h->max_ns, bytes);
}

static PyObject *py_truth(PyObject *self, PyObject *ignored) {
    (void)ignored;
    fl_pump *pump = idle(self);
    if (pump == NULL) return NULL;
    const fl_pump_truth *t = fl_pump_truth_of(pump);
    PyObject *ttft = histogram(&t->ttft), *itl = histogram(&t->itl), *late = histogram(&t->late);
    if (ttft == NULL || itl == NULL || late == NULL) {
        Py_XDECREF(ttft);
        Py_XDECREF(itl);
        Py_XDECREF(late);
        return NULL;
    }
    return Py_BuildValue("{s:K,s:K,s:K,s:N,s:N,s:N}", "tokens", (unsigned long long)t->tokens, "streams", (unsigned long long)t->streams,
                         "peak_streams", (unsigned long long)t->peak_streams, "ttft", ttft, "itl", itl, "late", late);
}

static PyObject *py_reset(PyObject *self, PyObject *ignored) {
    (void)ignored;
    fl_pump *pump = idle(self);
    if (pump == NULL) return NULL;
    fl_pump_reset(pump);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"fileno", py_fileno, METH_NOARGS, "Return the descriptor that is readable when run_due has something to do."},
    {"stream", (PyCFunction)(void (*)(void))py_stream, METH_VARARGS | METH_KEYWORDS,
     "Start a token stream; return its id, or -1 when the peer is gone."},
    {"reply", py_reply, METH_VARARGS, "Send bytes when due; return an id, 0 when already sent, -1 when the peer is gone."},
    {"cancel", py_cancel, METH_O, "Forget an answer; return False when it was not in flight."},
    {"run_due", py_run_due, METH_O, "Send what is due for at most so many ns; return [(id, peer is gone)] of what ended."},
    {"truth", py_truth, METH_NOARGS, "Return the counts and the occupied bins of all histograms."},
    {"reset", py_reset, METH_NOARGS, "Zero the truth."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)"Sends the mock server's answers on time and records when each token left."},
    {Py_tp_new, (void *)py_new},
    {Py_tp_init, (void *)py_init},
    {Py_tp_dealloc, (void *)py_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec py_pump_spec = {
    .name = "fastload._native.Pump",
    .basicsize = sizeof(py_pump),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

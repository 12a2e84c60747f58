/* The response decoder by itself, for the contract tests: the same C code that the reactor runs, fed from Python. */
#include "py_binding.h"

typedef struct py_decoder {
    PyObject_HEAD
    fl_dialect dialect;
    fl_decoder decoder;
    PyObject *tokens;
    uint64_t read_id;
} py_decoder;

static int py_decoder_init(PyObject *o, PyObject *args, PyObject *kwargs) {
    py_decoder *self = (py_decoder *)o;
    static char *names[] = {"paths", "done", "needs_end", "text_limit", "stop_after", NULL};
    PyObject *paths, *done;
    unsigned int text_limit = 0, stop_after = 0;
    int needs_end;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOp|II", names, &paths, &done, &needs_end, &text_limit, &stop_after)) return -1;
    self->decoder.text.limit = text_limit;
    self->decoder.stop_after = stop_after;
    self->decoder.template.ready = false; /* it was learned with other paths */
    return py_dialect_fill(&self->dialect, paths, done, needs_end);
}

static void py_decoder_dealloc(PyObject *o) {
    py_decoder *self = (py_decoder *)o;
    PyTypeObject *type = Py_TYPE(o);
    fl_decoder_free(&self->decoder);
    Py_XDECREF(self->tokens);
    PyObject_Free(o);
    Py_DECREF(type);
}

/* Whether the object went through __init__ (and, for `started`, start()); else an exception is set. */
static int py_usable(const py_decoder *self, int started) {
    if (self->dialect.matcher.nodes_used == 0) return PyErr_SetString(PyExc_RuntimeError, "not initialised"), 0;
    if (started && self->tokens == NULL) return PyErr_SetString(PyExc_RuntimeError, "start first"), 0;
    return 1;
}

static void py_token(void *context, uint64_t stamp, uint64_t gap, uint64_t flags) {
    py_decoder *self = context;
    PyObject *token = Py_BuildValue("(KKii)", (unsigned long long)stamp, (unsigned long long)gap, (flags & FL_TOKEN_FIRST) != 0,
                                    (flags & FL_TOKEN_COALESCED) != 0);
    if (token != NULL && PyList_Append(self->tokens, token) == 0) Py_DECREF(token);
}

static PyObject *py_start(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_decoder *self = (py_decoder *)o;
    int ok = 1;
    if (!py_usable(self, 0) || !py_arity(n, 3, "start")) return NULL;
    uint64_t framing = py_u64(args[0], &ok), length = py_u64(args[1], &ok), format = py_u64(args[2], &ok);
    if (!ok) return NULL;
    if (framing > FL_FRAME_CLOSE || format > FL_FORMAT_WHOLE) return PyErr_SetString(PyExc_ValueError, "start: out of range"), NULL;
    fl_decoder_start(&self->decoder, &self->dialect, (fl_framing)framing, length, (fl_format)format);
    Py_XDECREF(self->tokens);
    if ((self->tokens = PyList_New(0)) == NULL) return NULL;
    self->read_id = 0;
    Py_RETURN_NONE;
}

static PyObject *py_feed(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_decoder *self = (py_decoder *)o;
    fl_sink sink = {py_token, NULL, self};
    int ok = 1;
    char *bytes;
    Py_ssize_t size;
    size_t used;
    if (!py_arity(n, 2, "feed") || PyBytes_AsStringAndSize(args[0], &bytes, &size) < 0) return NULL;
    uint64_t stamp = py_u64(args[1], &ok);
    if (!ok || !py_usable(self, 1)) return NULL;
    fl_progress progress = fl_decoder_feed(&self->decoder, (const uint8_t *)bytes, (size_t)size, stamp, ++self->read_id, &sink, &used);
    return PyErr_Occurred() ? NULL : Py_BuildValue("(in)", progress == FL_DONE, (Py_ssize_t)used);
}

static PyObject *py_eof(PyObject *o, PyObject *none) {
    py_decoder *self = (py_decoder *)o;
    fl_sink sink = {py_token, NULL, self};
    (void)none;
    if (!py_usable(self, 1)) return NULL;
    fl_decoder_eof(&self->decoder, &sink);
    Py_RETURN_NONE;
}

static PyObject *py_facts(PyObject *o, PyObject *none) {
    const fl_decoder *d = &((py_decoder *)o)->decoder;
    (void)none;
    if (!py_usable((py_decoder *)o, 1)) return NULL;
    return Py_BuildValue("{s:i,s:i,s:K,s:K,s:K,s:K,s:K,s:I,s:I,s:y#,s:y#,s:i,s:O}", "outcome", (int)d->outcome, "ended", (int)d->ended,
                         "first_token_ns", (unsigned long long)d->first_token_ns, "first_answer_ns", (unsigned long long)d->first_answer_ns,
                         "last_token_ns", (unsigned long long)d->last_token_ns, "max_gap_ns", (unsigned long long)d->max_gap_ns, "body_bytes",
                         (unsigned long long)d->body_bytes, "events", (unsigned int)d->events, "coalesced", (unsigned int)d->coalesced, "kept",
                         (const char *)(d->kept.bytes ? d->kept.bytes : (const uint8_t *)""), (Py_ssize_t)d->kept.used, "text",
                         (const char *)(d->text.bytes.bytes ? d->text.bytes.bytes : (const uint8_t *)""), (Py_ssize_t)d->text.bytes.used,
                         "text_truncated", (int)d->text.truncated, "tokens", ((py_decoder *)o)->tokens);
}

static PyObject *py_scan(PyObject *o, PyObject *arg) {
    char *bytes;
    Py_ssize_t size;
    fl_hits hits;
    if (!py_usable((py_decoder *)o, 0) || PyBytes_AsStringAndSize(arg, &bytes, &size) < 0) return NULL;
    if (!fl_json_scan(&((py_decoder *)o)->dialect.matcher, (const uint8_t *)bytes, (size_t)size, &hits, NULL)) Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(hits.classes);
}

static PyMethodDef py_decoder_methods[] = {
    {"start", (PyCFunction)(void (*)(void))py_start, METH_FASTCALL, "start(framing, length, format): begin a response."},
    {"feed", (PyCFunction)(void (*)(void))py_feed, METH_FASTCALL, "feed(bytes, stamp_ns): one read; return (done, bytes used)."},
    {"eof", py_eof, METH_NOARGS, "The connection ended."},
    {"facts", py_facts, METH_NOARGS, "Return what was decoded, and the token samples as (stamp, gap, first, coalesced)."},
    {"scan", py_scan, METH_O, "scan(event): classes found in one JSON text, or None when it is malformed."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot py_decoder_slots[] = {{Py_tp_init, py_decoder_init},
                                         {Py_tp_dealloc, py_decoder_dealloc},
                                         {Py_tp_methods, py_decoder_methods},
                                         {Py_tp_doc, "The native response decoder by itself; see native/fl_decoder.h."},
                                         {0, NULL}};
PyType_Spec py_decoder_spec = {"fastload._native.Decoder", sizeof(py_decoder), 0, Py_TPFLAGS_DEFAULT, py_decoder_slots};

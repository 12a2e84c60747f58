/* What is left of a request when it is over: its text and its record. */
#include "py_reactor.h"

PyObject *py_commit(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_reactor *self = (py_reactor *)o;
    int ok = 1;
    if (n != 5 && !py_arity_or_less(n, 7, "commit")) return NULL;
    fl_conn *c = py_conn_in(self, args[0], FL_CONN_DONE, "no response is finished");
    if (c == NULL) return NULL;
    uint64_t outcome = py_u64(args[1], &ok), flags = n > 5 ? py_u64(args[5], &ok) : 0, held_ns = n > 6 ? py_u64(args[6], &ok) : 0;
    long output = PyLong_AsLong(args[2]), input = PyLong_AsLong(args[3]);
    int keep_alive = PyObject_IsTrue(args[4]);
    if (!ok || PyErr_Occurred()) return NULL;
    if (flags > UINT8_MAX) return PyErr_SetString(PyExc_ValueError, "commit: flags out of range"), NULL;
    long long end_ns = (long long)c->record.end_ns;
    c->record.held_ns = held_ns;
    bool reusable =
        fl_reactor_commit(&self->reactor, c, (fl_outcome)outcome, (int32_t)output, (int32_t)input, keep_alive != 0, (uint8_t)flags);
    py_release(&self->sending[c->slot]);
    return PyLong_FromLongLong(reusable ? end_ns : -end_ns);
}

PyObject *py_text(PyObject *o, PyObject *slot) {
    const fl_conn *c = py_conn_in((py_reactor *)o, slot, FL_CONN_DONE, "no response is finished");
    if (c == NULL) return NULL;
    const fl_buffer *text = &c->decoder.text.bytes;
    return PyBytes_FromStringAndSize((const char *)text->bytes, (Py_ssize_t)text->used);
}

PyObject *py_text_truncated(PyObject *o, PyObject *slot) {
    const fl_conn *c = py_conn_in((py_reactor *)o, slot, FL_CONN_DONE, "no response is finished");
    return c == NULL ? NULL : PyBool_FromLong(c->decoder.text.truncated);
}

PyObject *py_record(PyObject *o, PyObject *args, PyObject *kwargs) {
    py_reactor *self = (py_reactor *)o;
    static char *names[] = {"scheduled_ns", "end_ns",  "connect_ns", "request_id",   "user", "endpoint",
                            "attempts",     "outcome", "flags",      "asked_tokens", "held_ns", NULL};
    unsigned long long scheduled, end, connect, request_id, held = 0;
    unsigned int user, asked = 0;
    unsigned char endpoint, attempts, outcome, flags = 0;
    if (py_usable(o) == NULL) return NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KKKKIbbb|bIK", names, &scheduled, &end, &connect, &request_id, &user, &endpoint,
                                     &attempts, &outcome, &flags, &asked, &held))
        return NULL;
    fl_record record = {.scheduled_ns = scheduled, .end_ns = end, .connect_ns = connect, .request_id = request_id, .user = user,
                        .endpoint = endpoint, .attempts = attempts, .outcome = outcome, .worker = self->reactor.worker,
                        .output_tokens = -1, .input_tokens = -1, .flags = flags, .asked_tokens = asked, .held_ns = held};
    if (attempts <= 1) fl_count(&self->reactor.shared, FL_C_STARTED, 1);
    fl_reactor_record(&self->reactor, &record);
    Py_RETURN_NONE;
}

PyObject *py_note_stall(PyObject *o, PyObject *arg) {
    int ok = 1;
    if (py_usable(o) == NULL) return NULL;
    uint64_t ns = py_u64(arg, &ok);
    if (!ok) return NULL;
    fl_histogram_add(((py_reactor *)o)->reactor.shared.histograms[FL_H_LOOP_STALL], ns);
    Py_RETURN_NONE;
}

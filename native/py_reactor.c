/* Python's hold on the reactor: argument checking, notices as tuples, references to requests being sent. */
#include "py_reactor.h"

#include <errno.h>
#include <sys/timerfd.h>

static int py_reactor_init(PyObject *o, PyObject *args, PyObject *kwargs) {
    py_reactor *self = (py_reactor *)o;
    static char *names[] = {"shared", "token_capacity", "record_capacity", "epoch_ns", "worker", "paths", "done", "needs_end", "dialects", NULL};
    PyObject *shared, *paths = NULL, *done = NULL, *dialects = NULL;
    unsigned long long tokens, records, epoch;
    unsigned short worker;
    int needs_end = 0;
    if (self->ready) return PyErr_SetString(PyExc_RuntimeError, "already initialised"), -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OKKKH|OOp$O", names, &shared, &tokens, &records, &epoch, &worker, &paths, &done, &needs_end,
                                     &dialects))
        return -1;
    Py_ssize_t count = dialects != NULL ? PySequence_Size(dialects) : 1;
    if (count < 0) return -1;
    if (dialects == NULL && done == NULL) return PyErr_SetString(PyExc_TypeError, "give dialects, or paths, done and needs_end"), -1;
    if (count == 0 || count > FL_MAX_DIALECTS)
        return PyErr_Format(PyExc_ValueError, "%zd dialects: 1 to %d are possible", count, (int)FL_MAX_DIALECTS), -1;
    if (tokens == 0 || (tokens & (tokens - 1)) || records == 0 || (records & (records - 1)))
        return PyErr_SetString(PyExc_ValueError, "ring capacities must be powers of two"), -1;
    if (PyObject_GetBuffer(shared, &self->shared, PyBUF_WRITABLE) < 0) return -1;
    if ((uint64_t)self->shared.len < fl_shared_layout(tokens, records).total)
        return PyErr_SetString(PyExc_ValueError, "the shared block is smaller than its layout"), PyBuffer_Release(&self->shared), -1;
    self->ready = 1;
    if (fl_reactor_init(&self->reactor, self->shared.buf, tokens, records, epoch, worker) < 0)
        return PyErr_SetFromErrno(PyExc_OSError), -1;
    fl_dialect *filled = fl_reactor_dialects(&self->reactor, (uint32_t)count);
    if (filled == NULL) return PyErr_NoMemory(), -1;
    if ((dialects != NULL ? py_dialects_fill(filled, dialects, count) : py_dialect_fill(filled, paths, done, needs_end)) < 0) return -1;
    self->ready = 2;
    return 0;
}

static void py_reactor_dealloc(PyObject *o) {
    py_reactor *self = (py_reactor *)o;
    PyTypeObject *type = Py_TYPE(o);
    if (self->ready) {
        fl_reactor_free(&self->reactor);
        PyBuffer_Release(&self->shared);
    }
    for (uint32_t i = 0; i < self->sending_room; i++) py_release(&self->sending[i]);
    PyMem_Free(self->sending);
    PyObject_Free(o);
    Py_DECREF(type);
}

fl_reactor *py_usable(PyObject *o) {
    py_reactor *self = (py_reactor *)o;
    if (self->ready == 2) return &self->reactor;
    PyErr_SetString(PyExc_RuntimeError, "the reactor was not initialised");
    return NULL;
}

/* --- notices ------------------------------------------------------------------------------------------------------------- */

static PyObject *py_notice(const fl_reactor *r, const fl_notice *n) {
    const char *bytes = (const char *)(n->kind == FL_N_CIPHER ? r->arena.bytes + n->at : n->bytes);
    if (n->kind == FL_N_CIPHER)
        return Py_BuildValue("(Iiy#KK)", n->slot, (int)n->kind, bytes, (Py_ssize_t)n->n, (unsigned long long)n->stamp_ns, (unsigned long long)n->read_ns);
    if (n->n == 0) return Py_BuildValue("(IiiOi)", n->slot, (int)n->kind, (int)n->code, Py_None, (int)n->known_head);
    return Py_BuildValue("(Iiiy#i)", n->slot, (int)n->kind, (int)n->code, bytes, (Py_ssize_t)n->n, (int)n->known_head);
}

/* All notices as a list, None when there are none; they are consumed either way. */
static PyObject *py_notices(fl_reactor *r) {
    size_t used = r->notices_used;
    r->notices_used = 0;
    if (r->out_of_memory) return r->out_of_memory = false, PyErr_NoMemory();
    if (used == 0) Py_RETURN_NONE;
    PyObject *list = PyList_New((Py_ssize_t)used);
    for (size_t i = 0; list != NULL && i < used; i++) {
        PyObject *notice = py_notice(r, &r->notices[i]);
        if (notice == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SetItem(list, (Py_ssize_t)i, notice);
    }
    fl_buffer_clear(&r->arena);
    return list;
}

static fl_conn *py_conn(py_reactor *self, PyObject *slot_arg) {
    int ok = 1;
    if (py_usable((PyObject *)self) == NULL) return NULL;
    uint64_t slot = py_u64(slot_arg, &ok);
    if (!ok) return NULL;
    fl_conn *c = slot < FL_MAX_SLOTS ? fl_reactor_conn(&self->reactor, (uint32_t)slot) : NULL;
    if (c == NULL) PyErr_Format(PyExc_ValueError, "no connection in slot %llu", (unsigned long long)slot);
    return c;
}

fl_conn *py_conn_in(py_reactor *self, PyObject *slot_arg, fl_conn_state state, const char *what) {
    fl_conn *c = py_conn(self, slot_arg);
    if (c != NULL && c->state != state) {
        PyErr_Format(PyExc_RuntimeError, "slot %u: %s, but its state is %d", (unsigned)c->slot, what, (int)c->state);
        return NULL;
    }
    return c;
}

/* --- sockets ------------------------------------------------------------------------------------------------------------- */

static PyObject *py_fileno(PyObject *o, PyObject *none) {
    const fl_reactor *r = py_usable(o);
    (void)none;
    return r == NULL ? NULL : PyLong_FromLong(r->epoll_fd);
}

static PyObject *py_timer_fileno(PyObject *o, PyObject *none) {
    const fl_reactor *r = py_usable(o);
    (void)none;
    return r == NULL ? NULL : PyLong_FromLong(r->timer_fd);
}

static PyObject *py_set_interval(PyObject *o, PyObject *arg) {
    int ok = 1;
    if (py_usable(o) == NULL) return NULL;
    uint64_t ns = py_u64(arg, &ok);
    if (!ok) return NULL;
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    struct itimerspec every = {t, t};
    if (timerfd_settime(((py_reactor *)o)->reactor.timer_fd, 0, &every, NULL) < 0) return PyErr_SetFromErrno(PyExc_OSError);
    ((py_reactor *)o)->reactor.interval_ns = ns;
    Py_RETURN_NONE;
}

static PyObject *py_set_linger(PyObject *o, PyObject *arg) {
    int ok = 1;
    if (py_usable(o) == NULL) return NULL;
    uint64_t ns = py_u64(arg, &ok);
    if (!ok) return NULL;
    if (ns > 1000000000u) return PyErr_SetString(PyExc_ValueError, "a linger of more than a second"), NULL;
    ((py_reactor *)o)->reactor.linger_ns = ns;
    Py_RETURN_NONE;
}

static PyObject *py_due_fileno(PyObject *o, PyObject *none) {
    fl_reactor *r = py_usable(o);
    (void)none;
    return r == NULL ? NULL : PyLong_FromLong(r->due_fd);
}

static PyObject *py_set_due(PyObject *o, PyObject *arg) {
    int ok = 1;
    fl_reactor *r = py_usable(o);
    uint64_t ns = r == NULL ? 0 : py_u64(arg, &ok);
    if (r == NULL || !ok) return NULL;
    if (fl_reactor_set_due(r, ns) < 0) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_set_epoch(PyObject *o, PyObject *arg) {
    int ok = 1;
    fl_reactor *r = py_usable(o);
    uint64_t ns = r == NULL ? 0 : py_u64(arg, &ok);
    if (r == NULL || !ok) return NULL;
    r->epoch_ns = ns;
    Py_RETURN_NONE;
}

static PyObject *py_take_due(PyObject *o, PyObject *none) {
    fl_reactor *r = py_usable(o);
    (void)none;
    return r == NULL ? NULL : PyLong_FromUnsignedLongLong(fl_reactor_take_due(r));
}

static PyObject *py_open(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_reactor *self = (py_reactor *)o;
    if (!py_arity(n, 2, "open")) return NULL;
    if (py_usable(o) == NULL) return NULL;
    long fd = PyLong_AsLong(args[0]);
    int tls = PyObject_IsTrue(args[1]);
    if ((fd == -1 && PyErr_Occurred()) || tls < 0) return NULL;
    int64_t slot = fl_reactor_open(&self->reactor, (int)fd, tls != 0);
    if (slot < 0) return PyErr_SetFromErrno(PyExc_OSError);
    if (slot >= (int64_t)self->sending_room) {
        uint32_t room = self->reactor.conns_room;
        py_held *grown = PyMem_Realloc(self->sending, room * sizeof *grown);
        if (grown == NULL) return PyErr_NoMemory();
        for (uint32_t i = self->sending_room; i < room; i++) grown[i] = (py_held){NULL, NULL};
        self->sending = grown;
        self->sending_room = room;
    }
    return PyLong_FromLongLong(slot);
}

static PyObject *py_close(PyObject *o, PyObject *slot) {
    py_reactor *self = (py_reactor *)o;
    fl_conn *c = py_conn(self, slot);
    if (c == NULL) return NULL;
    uint32_t at = c->slot;
    fl_reactor_close(&self->reactor, at);
    py_release(&self->sending[at]);
    Py_RETURN_NONE;
}

static PyObject *py_send(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_reactor *self = (py_reactor *)o;
    if (!py_arity_or_less(n, 10, "send")) return NULL;
    fl_conn *c = py_conn_in(self, args[0], FL_CONN_IDLE, "send needs an idle connection");
    if (c == NULL) return NULL;
    struct iovec one = {NULL, 0}, *vectors = &one;
    int ok = 1;
    uint64_t endpoint = py_u64(args[7], &ok);
    fl_request request = {.scheduled_ns = py_u64(args[2], &ok),
                          .connect_ns = py_u64(args[3], &ok),
                          .request_id = py_u64(args[4], &ok),
                          .deadline_ns = py_u64(args[5], &ok),
                          .user = (uint32_t)py_u64(args[6], &ok),
                          .attempts = (uint8_t)py_u64(args[8], &ok)};
    if (!ok || (n == 10 && py_request_options(&request, args[9]) < 0)) return NULL;
    if (endpoint > FL_ENDPOINT_MASK || (self->reactor.dialects_used > 1 && endpoint >= self->reactor.dialects_used))
        return PyErr_Format(PyExc_ValueError, "no endpoint %llu", (unsigned long long)endpoint);
    request.endpoint = (uint8_t)endpoint;
    py_held *held = &self->sending[c->slot];
    int count = py_hold(held, args[1], &one, &vectors);
    if (count < 0) return NULL;
    uint64_t sent_ns = fl_reactor_send(&self->reactor, c, &request, vectors, (size_t)count);
    if (sent_ns == 0 || c->out_bytes == 0) py_release(held); /* it left at once, as nearly every request does */
    return PyLong_FromUnsignedLongLong(sent_ns);
}

/* --- receiving ----------------------------------------------------------------------------------------------------------- */

static PyObject *py_drain(PyObject *o, PyObject *arg) {
    py_reactor *self = (py_reactor *)o;
    int ok = 1, more;
    if (py_usable(o) == NULL) return NULL;
    uint64_t budget = py_u64(arg, &ok);
    if (!ok) return NULL;
    Py_BEGIN_ALLOW_THREADS
    more = fl_reactor_drain(&self->reactor, budget);
    Py_END_ALLOW_THREADS
    if (more < 0) return PyErr_SetFromErrno(PyExc_OSError);
    for (uint32_t slot = self->reactor.sent; slot != FL_NO_SLOT; slot = self->reactor.conns[slot]->next_sent) py_release(&self->sending[slot]);
    return py_notices(&self->reactor);
}

static PyObject *py_body(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_reactor *self = (py_reactor *)o;
    int ok = 1;
    if (!py_arity(n, 5, "body")) return NULL;
    fl_conn *c = py_conn_in(self, args[0], FL_CONN_FRAMING, "no response head is waiting");
    if (c == NULL) return NULL;
    uint64_t status = py_u64(args[1], &ok), framing = py_u64(args[2], &ok), length = py_u64(args[3], &ok), format = py_u64(args[4], &ok);
    if (!ok) return NULL;
    if (status > 999 || framing > FL_FRAME_CLOSE || format > FL_FORMAT_WHOLE) return PyErr_SetString(PyExc_ValueError, "body: out of range"), NULL;
    fl_reactor_body(&self->reactor, c, (uint16_t)status, (fl_framing)framing, length, (fl_format)format);
    return py_notices(&self->reactor);
}

static PyObject *py_known_head(PyObject *o, PyObject *slot) {
    const fl_conn *c = py_conn((py_reactor *)o, slot);
    return c == NULL ? NULL : PyLong_FromLong(c->known_head);
}

static PyObject *py_interim(PyObject *o, PyObject *slot) {
    py_reactor *self = (py_reactor *)o;
    fl_conn *c = py_conn_in(self, slot, FL_CONN_FRAMING, "no response head is waiting");
    if (c == NULL) return NULL;
    fl_reactor_interim(&self->reactor, c);
    return py_notices(&self->reactor);
}

static PyObject *py_feed(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_reactor *self = (py_reactor *)o;
    int ok = 1;
    char *bytes;
    Py_ssize_t size;
    if (!py_arity(n, 4, "feed")) return NULL;
    fl_conn *c = py_conn(self, args[0]);
    if (c == NULL || PyBytes_AsStringAndSize(args[1], &bytes, &size) < 0) return NULL;
    uint64_t stamp = py_u64(args[2], &ok), read = py_u64(args[3], &ok);
    if (!ok) return NULL;
    fl_reactor_feed(&self->reactor, c, (const uint8_t *)bytes, (size_t)size, stamp, read);
    return py_notices(&self->reactor);
}

static PyObject *py_feed_eof(PyObject *o, PyObject *slot) {
    py_reactor *self = (py_reactor *)o;
    fl_conn *c = py_conn(self, slot);
    if (c == NULL) return NULL;
    fl_reactor_feed_eof(&self->reactor, c);
    return py_notices(&self->reactor);
}

static PyObject *py_abort(PyObject *o, PyObject *const *args, Py_ssize_t n) {
    py_reactor *self = (py_reactor *)o;
    int ok = 1;
    if (!py_arity(n, 2, "abort")) return NULL;
    fl_conn *c = py_conn(self, args[0]);
    uint64_t outcome = c != NULL ? py_u64(args[1], &ok) : 0;
    if (c == NULL || !ok) return NULL;
    fl_reactor_abort(&self->reactor, c, (fl_outcome)outcome, fl_mono_ns());
    return py_notices(&self->reactor);
}

static PyObject *py_expire(PyObject *o, PyObject *none) {
    (void)none;
    if (py_usable(o) == NULL) return NULL;
    fl_reactor_expire(&((py_reactor *)o)->reactor, fl_mono_ns());
    return py_notices(&((py_reactor *)o)->reactor);
}

#define FAST(name) ((PyCFunction)(void (*)(void))name)
static PyMethodDef py_reactor_methods[] = {
    {"fileno", py_fileno, METH_NOARGS, "Return the epoll descriptor: readable when a socket is ready."},
    {"timer_fileno", py_timer_fileno, METH_NOARGS, "Return the timer descriptor of lazy draining."},
    {"set_interval", py_set_interval, METH_O, "Make the timer fire every so many nanoseconds; 0 stops it."},
    {"set_linger", py_set_linger, METH_O, "Let a drain wait so many nanoseconds for more while it has nothing to report."},
    {"due_fileno", py_due_fileno, METH_NOARGS, "Return the descriptor that is readable once the due moment has come."},
    {"set_due", py_set_due, METH_O, "Set the moment (monotonic ns, 0 = never) at which drains give way to Python."},
    {"set_epoch", py_set_epoch, METH_O, "Set the zero of token samples (monotonic ns); to be called before the first."},
    {"take_due", py_take_due, METH_NOARGS, "Return the due moment that has come, and forget it; 0 when none has."},
    {"open", FAST(py_open), METH_FASTCALL, "open(fd, tls): take over a connected non-blocking socket; return its slot."},
    {"close", py_close, METH_O, "Close the connection in a slot and its descriptor."},
    {"send", FAST(py_send), METH_FASTCALL,
     "send(slot, data, scheduled_ns, connect_ns, request_id, deadline_ns, user, endpoint, attempts, options=None): start a request; "
     "return the moment of sending in ns, 0 when the connection was closed."},
    {"drain", py_drain, METH_O, "drain(budget_ns): read all that is ready; return notices or None."},
    {"body", FAST(py_body), METH_FASTCALL, "body(slot, status, framing, length, format): decode what follows the head."},
    {"known_head", py_known_head, METH_O, "Return the number under which the head last given to `body` is known, 0 when it is not."},
    {"interim", py_interim, METH_O, "The head was a 1xx: wait for the real one."},
    {"feed", FAST(py_feed), METH_FASTCALL, "feed(slot, plaintext, stamp_ns, read_ns): decrypted bytes of one read."},
    {"feed_eof", py_feed_eof, METH_O, "The plaintext ended."},
    {"abort", FAST(py_abort), METH_FASTCALL, "abort(slot, outcome): end the request from this side."},
    {"expire", py_expire, METH_NOARGS, "Time out the requests whose deadline has passed."},
    {"commit", FAST(py_commit), METH_FASTCALL,
     "commit(slot, outcome, output_tokens, input_tokens, keep_alive, flags=0): write the record (-1 = not told); "
     "return the end of the response in ns, negative when the connection cannot carry another request."},
    {"text", py_text, METH_O, "Return the text kept of a finished streamed response: the inside of a JSON string, still escaped."},
    {"text_truncated", py_text_truncated, METH_O, "Return whether that response had more text than was to be kept."},
    {"record", FAST(py_record), METH_VARARGS | METH_KEYWORDS, "Write the record of a request that never got a connection."},
    {"note_stall", py_note_stall, METH_O, "Add to the loop-stall histogram, in ns."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot py_reactor_slots[] = {{Py_tp_init, py_reactor_init},
                                         {Py_tp_dealloc, py_reactor_dealloc},
                                         {Py_tp_methods, py_reactor_methods},
                                         {Py_tp_doc, "The native receive path of one worker; see native/fl_reactor.h."},
                                         {0, NULL}};
PyType_Spec py_reactor_spec = {"fastload._native.Reactor", sizeof(py_reactor), 0, Py_TPFLAGS_DEFAULT, py_reactor_slots};

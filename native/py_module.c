/* fastload._native: types, constants and two process-level calls. */
#define _GNU_SOURCE
#include "py_binding.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include "fl_shared.h"
#include "py_kernels.h"

#ifdef __clang__
#define FL_COMPILER "clang " __clang_version__
#else
#define FL_COMPILER "gcc " __VERSION__
#endif

static PyObject *py_shared_layout(PyObject *module, PyObject *args) {
    unsigned long long tokens, records;
    (void)module;
    if (!PyArg_ParseTuple(args, "KK", &tokens, &records)) return NULL;
    fl_shared_offsets o = fl_shared_layout(tokens, records);
    return Py_BuildValue("{s:K,s:K,s:K,s:(KKKK),s:K,s:K}", "counters", (unsigned long long)o.counters, "tokens", (unsigned long long)o.tokens,
                         "records", (unsigned long long)o.records, "histograms", (unsigned long long)o.histograms[0],
                         (unsigned long long)o.histograms[1], (unsigned long long)o.histograms[2], (unsigned long long)o.histograms[3], "total",
                         (unsigned long long)o.total, "ring_data", (unsigned long long)FL_RING_DATA_OFFSET);
}

static PyObject *py_die_with_parent(PyObject *module, PyObject *arg) {
    long signal_number = PyLong_AsLong(arg);
    (void)module;
    if (signal_number == -1 && PyErr_Occurred()) return NULL;
    if (prctl(PR_SET_PDEATHSIG, signal_number) != 0) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_layout_facts(PyObject *module, PyObject *none) {
    (void)module, (void)none;
#define AT(field) #field, (int)offsetof(fl_record, field)
    return Py_BuildValue("{s:i,s:i,s:i,s:i,s:i,s:{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}}",
                         "token_bytes", (int)sizeof(fl_token), "record_bytes", (int)sizeof(fl_record), "counters", (int)FL_COUNTERS, "sub_bits",
                         FL_HISTOGRAM_SUB_BITS, "buckets", FL_HISTOGRAM_BUCKETS, "record", AT(scheduled_ns), AT(sent_ns), AT(first_byte_ns),
                         AT(first_token_ns), AT(first_answer_ns), AT(last_token_ns), AT(end_ns), AT(connect_ns), AT(max_gap_ns), AT(body_bytes),
                         AT(request_id), AT(events), AT(coalesced), AT(output_tokens), AT(input_tokens), AT(user), AT(status), AT(outcome),
                         AT(attempts), AT(worker), AT(endpoint), AT(flags), AT(asked_tokens), AT(held_ns));
#undef AT
}

static PyObject *py_histogram_index(PyObject *module, PyObject *arg) {
    int ok = 1;
    uint64_t value = py_u64(arg, &ok);
    (void)module;
    return ok ? PyLong_FromUnsignedLong(fl_histogram_index(value)) : NULL;
}

static PyMethodDef py_functions[] = {
    {"shared_layout", py_shared_layout, METH_VARARGS, "shared_layout(token_capacity, record_capacity): byte offsets of one worker's block."},
    {"layout_facts", py_layout_facts, METH_NOARGS, "Sizes and offsets as C sees them, for the test that holds layout.py against them."},
    {"histogram_index", py_histogram_index, METH_O, "Bucket of a value, as C computes it."},
    {"die_with_parent", py_die_with_parent, METH_O, "Ask the kernel to send this signal when the parent process ends."},
    {NULL, NULL, 0, NULL}};

static int py_add_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL) return -1;
    int failed = PyModule_AddObjectRef(module, name, type);
    Py_DECREF(type);
    return failed;
}

static int py_exec(PyObject *module) {
    static const struct { const char *name; int value; } constants[] = {
        {"FRAME_NONE", FL_FRAME_NONE}, {"FRAME_LENGTH", FL_FRAME_LENGTH}, {"FRAME_CHUNKED", FL_FRAME_CHUNKED}, {"FRAME_CLOSE", FL_FRAME_CLOSE},
        {"FORMAT_SSE", FL_FORMAT_SSE}, {"FORMAT_NDJSON", FL_FORMAT_NDJSON}, {"FORMAT_WHOLE", FL_FORMAT_WHOLE},
        {"HAS_TEXT", FL_HAS_TEXT}, {"HAS_REASONING", FL_HAS_REASONING}, {"HAS_TOOL", FL_HAS_TOOL}, {"HAS_USAGE", FL_HAS_USAGE},
        {"HAS_ERROR", FL_HAS_ERROR}, {"HAS_FINISH", FL_HAS_FINISH}, {"HAS_PROBE", FL_HAS_PROBE}, {"HAS_ASIDE", FL_HAS_ASIDE},
        {"N_HEAD", 1}, {"N_FINISHED", 2}, {"N_CLOSED", 3}, {"N_CIPHER", 4}, {"N_CIPHER_EOF", 5}, {"N_FIRST", 6}, {"STALE", 255}};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0) return -1;
#ifdef FL_COMMIT
    if (PyModule_AddStringConstant(module, "COMMIT", FL_COMMIT) < 0) return -1;
#else
    if (PyModule_AddObjectRef(module, "COMMIT", Py_None) < 0) return -1;
#endif
    if (PyModule_AddStringConstant(module, "COMPILER", FL_COMPILER) < 0 || py_kernels_add(module) < 0) return -1;
    return py_add_type(module, &py_reactor_spec, "Reactor") < 0 || py_add_type(module, &py_ring_reader_spec, "RingReader") < 0 ||
                   py_add_type(module, &py_decoder_spec, "Decoder") < 0 || py_add_type(module, &py_pump_spec, "Pump") < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot py_slots[] = {{Py_mod_exec, (void *)py_exec}, {0, NULL}};
static struct PyModuleDef py_definition = {
    PyModuleDef_HEAD_INIT, "fastload._native", "fastload's C core; see native/README.md.", 0, py_functions, py_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&py_definition); }

/* A module with nothing but the kernels compiled ahead of time, so that one test session has them beside those numba compiles. */
#include "py_kernels.h"

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)py_kernels_add}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "linked_kernels", NULL, 0, NULL, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_linked_kernels(void) { return PyModuleDef_Init(&definition); }

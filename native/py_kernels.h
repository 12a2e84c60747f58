/* The statistics kernels as functions of a module, where a kernel object is linked in (FL_KERNELS); see native/build_kernels.py. */
#ifndef PY_KERNELS_H
#define PY_KERNELS_H

#include "py_binding.h"

/* Add KERNELS, KERNELS_COMPILER, KERNELS_SOURCE, bin_tokens, bin_values and quantile_buckets to a module; 0, or -1 with an exception set.
 * Without a linked object the names are there too: KERNELS is None and a call raises ImportError. */
int py_kernels_add(PyObject *module);

#endif

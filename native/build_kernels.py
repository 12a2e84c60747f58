"""Compiles the kernels of `fastload.stats.kernels` ahead of time: numba's optimised code for them, as one object file.

    python native/build_kernels.py OUT.o

needs numba and fastload's sources around this file, no built module: it runs in a checkout and in an unpacked sdist. `setup.py`
links the object into `fastload._native` where FASTLOAD_KERNELS names it; `native/py_kernels.c` is its only caller. The object
carries its own facts (`fl_kernels_target`, `_compiler`, `_source`, `_lengths`), so that what is linked can say what it is, whoever
loads it can tell old kernels from the sources, and the binding checks arrays against the very lengths they were compiled with.

Invariant: the same sources and the same numba give the same bytes on every machine of one architecture: the processor is named,
never looked up. The object needs no other symbol, neither Python's nor the C library's, and its own are hidden.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

CPU: Final = {"x86_64": "x86-64-v2", "aarch64": "generic"}
"""What the code may assume of a processor. x86-64-v2 is what numpy's own wheels ask for; these loops gain nothing from more."""
ROOT: Final = Path(__file__).resolve().parents[1]


def build(out: Path) -> None:
    """Compile the kernels and write the object file.

    Raises:
        SystemExit: there is no numba, or no processor is named for this architecture, or a kernel would need a run-time library.
    """
    architecture = platform.machine()
    if architecture not in CPU:
        raise SystemExit(f"build_kernels: no processor is named for {architecture}; known: {', '.join(CPU)}")
    cpu = CPU[architecture]
    # numba reads them when it is imported; without them its optimiser asks this machine's processor.
    os.environ["NUMBA_CPU_NAME"], os.environ["NUMBA_CPU_FEATURES"] = cpu, ""
    sys.path.insert(0, str(ROOT))
    try:
        import llvmlite
        import llvmlite.binding as llvm
        import numba
    except ImportError as error:
        raise SystemExit(f"build_kernels: {error}: numba compiles the kernels; install it beside the sources") from None

    module = _facts(llvm, cpu, f"numba {numba.__version__}, llvmlite {llvmlite.__version__}")
    public = {variable.name for variable in module.global_variables}
    for name, (wrapper, signature) in _exported(numba).items():
        compiled = numba.cfunc(signature, nopython=True, nogil=True, error_model="numpy")(wrapper)
        part = llvm.parse_assembly(str(compiled._library.get_llvm_str()))
        part.get_function(compiled.native_name).name = name
        module.link_in(part)
        public.add(name)
    out.write_bytes(_emit(llvm, module, cpu, public))


def _emit(llvm: Any, module: Any, cpu: str, public: set[str]) -> bytes:
    """Optimise the linked module once more, so that numba's error paths and helpers fall away, and return the object file."""
    for symbol in (*module.functions, *module.global_variables):
        if symbol.name in public:
            symbol.linkage, symbol.visibility = "external", "hidden"
        elif not symbol.is_declaration:
            symbol.linkage = "internal"
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=cpu, features="", opt=3, reloc="pic", codemodel="default")
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    symbols = (*module.functions, *module.global_variables)
    needed = sorted(symbol.name for symbol in symbols if symbol.is_declaration and not symbol.name.startswith("llvm."))
    if needed:
        raise SystemExit(f"build_kernels: the kernels need {', '.join(needed)}: one of them may raise, allocate or call a library")
    code: bytes = machine.emit_object(module)
    return code


def _facts(llvm: Any, cpu: str, compiler: str) -> Any:
    """Return a module with nothing but what the object says of itself."""
    from fastload.samples.layout import HISTOGRAM_BUCKETS
    from fastload.stats import kernels as k
    from fastload.stats.kernels_source import kernels_source

    source = kernels_source()
    assert source is not None, "the sources were just imported"
    lengths = (HISTOGRAM_BUCKETS, k.MOMENT_COLUMNS, k.TOTAL_COLUMNS, k.COARSE_BUCKETS)
    lines = [f"@fl_kernels_lengths = constant [{len(lengths)} x i64] [{', '.join(f'i64 {length}' for length in lengths)}]"]
    for name, text in (("fl_kernels_target", cpu), ("fl_kernels_compiler", compiler), ("fl_kernels_source", source)):
        lines.append(f'@{name} = constant [{len(text) + 1} x i8] c"{text}\\00"')
    return llvm.parse_assembly("\n".join(lines))


def _exported(numba: Any) -> dict[str, tuple[Callable[..., int], Any]]:
    """Return by symbol name the C face of each kernel, pointers and lengths, and its signature; py_kernels.c declares the same."""
    from fastload.samples.layout import HISTOGRAM_BUCKETS
    from fastload.stats import kernels as k

    view = numba.carray
    moment_columns, total_columns, coarse_buckets = k.MOMENT_COLUMNS, k.TOTAL_COLUMNS, k.COARSE_BUCKETS
    bin_tokens, bin_values, quantile_buckets = (
        numba.njit(nogil=True, error_model="numpy")(function) for function in (k.bin_tokens, k.bin_values, k.quantile_buckets)
    )

    def tokens(words, n, start, begin, end, gaps, moments, totals, endpoints, events, slots, seconds, rows, n_rows):  # type: ignore[no-untyped-def]
        return bin_tokens(
            view(words, (n, 2)),
            start,
            begin,
            end,
            view(gaps, (endpoints, HISTOGRAM_BUCKETS)),
            view(moments, (endpoints, moment_columns)),
            view(totals, (endpoints, total_columns)),
            view(events, (seconds,)),
            view(slots, (seconds,)),
            view(rows, (n_rows, coarse_buckets)),
        )

    def values(data, n, counts):  # type: ignore[no-untyped-def]
        return bin_values(view(data, (n,)), view(counts, (HISTOGRAM_BUCKETS,)))

    def quantiles(counts, buckets, ranks, n, out):  # type: ignore[no-untyped-def]
        return quantile_buckets(view(counts, (buckets,)), view(ranks, (n,)), view(out, (n,)))

    types = numba.types
    size, word, pointer = types.intp, types.uint64, types.CPointer
    words = pointer(word)
    int32s, uint32s, int64s = pointer(types.int32), pointer(types.uint32), pointer(types.int64)
    into = (words, words, words, size, words, int32s, size, uint32s, size)
    return {
        "fl_bin_tokens": (tokens, size(words, size, size, word, word, *into)),
        "fl_bin_values": (values, size(words, size, words)),
        "fl_quantile_buckets": (quantiles, size(words, size, words, size, int64s)),
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python native/build_kernels.py OUT.o")
    build(Path(sys.argv[1]))

"""What `fastload --version` says is what runs: read from the module, the interpreter and the installed packages."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
from dataclasses import replace
from types import SimpleNamespace

import pytest

import fastload
from fastload import _native, build
from fastload.build import BuildFacts, build_facts
from fastload.stats.result import Build
from fastload.stats.summary import _build

LINKED = SimpleNamespace(
    COMMIT="0123456789ab", COMPILER="gcc 12.2.0", KERNELS="x86-64-v2", KERNELS_COMPILER="numba 0.68.1, llvmlite 0.50.0"
)
PLAIN = SimpleNamespace(COMMIT=None, COMPILER="clang 14.0.6 ", KERNELS=None, KERNELS_COMPILER=None)


def facts_with(monkeypatch: pytest.MonkeyPatch, native: object) -> BuildFacts:
    """Return the facts of a copy with this native module; None = it has none."""

    def load(name: str) -> object:
        assert name == "fastload._native"
        if native is None:
            raise ModuleNotFoundError(name=name)
        return native

    monkeypatch.setattr(build, "import_module", load)
    return build_facts()


def test_linked_kernels_are_named_with_their_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release says which processor its kernels need, and which compiler made them."""
    facts = facts_with(monkeypatch, LINKED)

    assert facts.kernels == "compiled ahead, x86-64-v2 (numba 0.68.1, llvmlite 0.50.0)"
    assert (facts.commit, facts.native) == ("0123456789ab", "C core, gcc 12.2.0")


def test_without_linked_kernels_numba_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain install says which numba compiles its kernels, as pip knows it."""
    facts = facts_with(monkeypatch, PLAIN)

    assert facts.kernels == f"numba {importlib.metadata.version('numba')}, just in time"
    assert (facts.commit, facts.native) == (None, "C core, clang 14.0.6")


def test_no_kernels_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither linked kernels nor numba: the version still prints, and tells what is missing."""

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    facts = facts_with(monkeypatch, PLAIN)

    assert facts.kernels is None
    assert "kernels  missing: none are linked, and numba is not installed" in facts.lines()


def test_a_copy_without_native_core_still_tells_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source tree nobody built is told from a broken one."""
    facts = facts_with(monkeypatch, None)

    assert facts.native is None
    assert facts.lines()[0] == f"fastload {fastload.__version__}"
    assert facts.lines()[2] == "native   missing: build it with `pip install .`"


def test_the_facts_are_the_loaded_modules() -> None:
    """Here and now: the native module's own words, this interpreter, the C library it was linked to."""
    facts = build_facts()

    assert facts.commit == _native.COMMIT
    assert facts.python.endswith(".".join(map(str, sys.version_info[:3])))
    libc = subprocess.run(["getconf", "GNU_LIBC_VERSION"], capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    assert facts.libc == (libc or ("musl" if "musl" in sysconfig.get_config_var("HOST_GNU_TYPE") else None))
    assert not facts.frozen


def test_a_frozen_copy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one file is told from the package."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)

    assert build_facts().lines()[-1] == "form     one file with its own interpreter"


def test_unknown_facts_are_printed_as_unknown() -> None:
    """What nobody told the build is unknown, not empty."""
    facts = replace(build_facts(), commit=None, libc=None)

    assert {"commit   unknown", "libc     unknown"} <= set(facts.lines())


def test_a_result_carries_the_facts() -> None:
    """Every fact but the version, which a result had already, is a key of `run.build`."""
    facts = build_facts()

    assert set(Build.model_fields) == set(BuildFacts.__slots__) - {"version"}
    assert _build(facts).model_dump() == {name: getattr(facts, name) for name in Build.model_fields}

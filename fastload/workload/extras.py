"""Optional packages: imported when something needs them, and one clear line when they are not there."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from fastload.errors import FastloadError


def optional_module(name: str, extra: str, purpose: str) -> ModuleType:
    """Return the module `name`, which the extra `fastload[extra]` brings.

    Raises:
        FastloadError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        install = f"pip install 'fastload[{extra}]'"
        if getattr(sys, "frozen", False):
            why, hint = "the single file does not bring it along", f"use the Python package: {install}"
            raise FastloadError(f"{purpose} needs {package}", why=why, hint=hint) from None
        raise FastloadError(f"{purpose} needs {package}, which is not installed", hint=install) from None

"""Optional packages: imported when something needs them, and one clear line when they are not there."""

from __future__ import annotations

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
        raise FastloadError(f"{purpose} needs {package}, which is not installed", hint=f"pip install 'fastload[{extra}]'") from None

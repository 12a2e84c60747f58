"""`summary.json` to and from files. Knows the schema's models and nothing of what they mean.

Invariant: a reader never sees half a file; what was written reads back equal.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fastload.errors import FastloadError
from fastload.report.files.stdout import write_document
from fastload.stats.result import SCHEMA, Summary

STDOUT: Final = "-"
_FILE_MODE: Final = 0o644
"""What `open` gives under the usual umask; a temporary file is made 0600."""


def dump_summary(summary: Summary) -> str:
    """Return the text of `summary.json`, indented, ending in a line break."""
    return summary.model_dump_json(by_alias=True, indent=2) + "\n"


def write_summary(summary: Summary, path: Path | str) -> None:
    """Write `summary` to `path`, all or nothing; `-` is standard output.

    Raises:
        FastloadError: the file cannot be written.
    """
    text = dump_summary(summary)
    if str(path) == STDOUT:
        write_document(text)
        return
    target = Path(path)
    try:
        _replace(target, text)
    except OSError as error:
        raise FastloadError(f"cannot write {target}: {error.strerror or error}", hint="give another --json or --out") from error


def read_summary(path: Path | str) -> Summary:
    """Return the summary stored at `path`.

    Raises:
        FastloadError: it cannot be read, is no JSON, or not of schema `fastload/summary/1`.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise FastloadError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return Summary.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"at {where}: {first['msg']}" if where else first["msg"]
        raise FastloadError(
            f"{path} is not a {SCHEMA} result", why=what, hint="was it written by this version of fastload?"
        ) from error


def _replace(target: Path, text: str) -> None:
    """Write beside `target` and rename over it; a device or pipe cannot be renamed over and is written directly."""
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), target.stat().st_mode & 0o777 if target.exists() else _FILE_MODE)
        Path(name).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise

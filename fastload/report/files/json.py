"""`summary.json` to and from files. Knows the schema's models and nothing of what they mean.

Invariant: a reader never sees half a file; what was written reads back equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fastload.errors import FastloadError
from fastload.report.files.documents import replace_text, write_document
from fastload.stats.result import SCHEMA, Summary

STDOUT: Final = "-"


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
        replace_text(target, text)
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

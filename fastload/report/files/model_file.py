"""JSON files of pydantic models other than the summary: the steps of a search or a ramp.

Invariant: a reader never sees half a file; what was written reads back equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fastload.errors import FastloadError
from fastload.report.files.documents import replace_text

_Kind = TypeVar("_Kind", bound=BaseModel)


def write_model(model: BaseModel, path: Path) -> None:
    """Write a model to `path`, all or nothing.

    Raises:
        FastloadError: the file cannot be written.
    """
    try:
        replace_text(path, model.model_dump_json(by_alias=True, indent=2) + "\n")
    except OSError as error:
        raise FastloadError(f"cannot write {path}: {error.strerror or error}", hint="give another --json or --out") from None


def read_model(kind: type[_Kind], path: Path) -> _Kind:
    """Return the model stored at `path`.

    Raises:
        FastloadError: it cannot be read or is something else.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FastloadError(f"cannot read {path}: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top"
        raise FastloadError(f"{path} is not what this version of fastload writes", why=f"at {where}: {first['msg']}") from None

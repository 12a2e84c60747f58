"""Documents on their way out: to a file, all or nothing, to a device or pipe, or to standard output.

Invariant: a reader never sees half a file; what is no file (`/dev/null`, a FIFO) is written to and stays what it is; and what
programs read is UTF-8, whatever the terminal speaks.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE_MODE: Final = 0o644
"""What `open` gives under the usual umask; a temporary file is made 0600."""


def write_document(text: str) -> None:
    """Write JSON, Markdown or HTML to standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors="replace"))
    sys.stdout.buffer.flush()


def is_device(target: Path) -> bool:
    """Tell whether something stands there that no file may be put in the place of."""
    return target.exists() and not target.is_file()


def replace_text(target: Path, text: str) -> None:
    """Write beside `target` and rename over it; a device or pipe is written directly. OSError where that fails."""
    if is_device(target):
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

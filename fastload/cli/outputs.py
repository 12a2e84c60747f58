"""Where a result goes: files, their names, the console; and the check that it can go there, made before a run.

Knows nothing of runs. Invariant: places accepted here are writable, so a run's result is not lost for want of a directory.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastload.errors import FastloadError

if TYPE_CHECKING:
    from rich.console import Console

    from fastload.samples.token_file import TokenFile

SUMMARY_FILE: Final = "summary.json"
REQUESTS_FILE: Final = "requests.csv"
HISTOGRAMS_FILE: Final = "histograms.npz"
TEXTS_FILE: Final = "requests.jsonl"
TOKENS_FILE: Final = "tokens.parquet"
TOKENS_RAW_FILE: Final = "tokens.bin"
PAGE_FILE: Final = "report.html"
STDOUT: Final = Path("-")
_FILE_COLUMNS: Final = 132
"""Width of a report that goes to a file or pipe, where there is no terminal to fit."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a result goes; no part of the plan."""

    out: Path | None = None
    """Directory for `summary.json`, `requests.csv` and `histograms.npz`."""
    json_file: Path | None = None
    """File for the summary; `-` is stdout."""
    live: bool = True
    quiet: bool = False
    page: bool = True
    """Write `report.html` into `out`."""
    tokens: bool = False
    """Keep every token in `out`."""
    junit_file: Path | None = None
    """File for the gates as JUnit XML; `-` is stdout."""


def check_outputs(outputs: Outputs) -> None:
    """Make the directory of a result and refuse places that could not be written to.

    Raises:
        FastloadError: the directory cannot be made or written to, or the file's directory is not there.
    """
    out = outputs.out
    if out is None and outputs.tokens:
        raise FastloadError("--tokens needs a directory for them", hint="give -o DIR")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FastloadError(f"cannot make the directory {out}", why=(error.strerror or str(error)).lower()) from None
        _check_directory(out)
    for flag, path in (("--json", outputs.json_file), ("--junit", outputs.junit_file)):
        if path is not None and path != STDOUT:
            check_file(flag, path)
    if outputs.json_file == outputs.junit_file == STDOUT:
        raise FastloadError("--json - and --junit - would share stdout", hint="name a file for one of them")


def _check_directory(out: Path) -> None:
    """Try to write into a directory, and see that what is to be replaced there can be."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=out) as probe:
            probe.write(b"fastload")
            probe.flush()
    except OSError as error:
        raise FastloadError(f"cannot write to the directory {out}", why=(error.strerror or str(error)).lower()) from None
    for name in (SUMMARY_FILE, REQUESTS_FILE, HISTOGRAMS_FILE, TEXTS_FILE, TOKENS_FILE, TOKENS_RAW_FILE, PAGE_FILE):
        path = out / name
        if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
            why = "permission denied" if path.is_file() else "it is no file"
            raise FastloadError(f"cannot replace {path}", why=why, hint="give another -o DIR")


def check_file(flag: str, path: Path) -> None:
    """Refuse a file that could not be written.

    Raises:
        FastloadError: it is a directory, has none to be in, or may not be written.
    """
    if path.is_dir():
        raise FastloadError(f"{flag} {path} is a directory", hint="name a file, or - for stdout")
    if not path.parent.is_dir():
        raise FastloadError(f"{flag} {path} has no directory to be in", why=f"{path.parent} does not exist")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FastloadError(f"cannot write {flag} {path}", why="permission denied")


def token_file(outputs: Outputs) -> TokenFile | None:
    """Return where the tokens of a run go, None = nowhere; those of an earlier run in the same directory are removed.

    Tokens of another run beside this one's requests would be taken for its own.
    """
    if outputs.out is None:
        return None
    forget_tokens(outputs.out)
    if not outputs.tokens:
        return None

    from fastload.samples.token_file import TokenFile

    return TokenFile(outputs.out / TOKENS_RAW_FILE)


def forget_tokens(out: Path) -> None:
    """Remove the tokens of an earlier run from a directory that is to hold another result."""
    for name in (TOKENS_FILE, TOKENS_RAW_FILE):
        (out / name).unlink(missing_ok=True)


def report_console(*, stderr: bool = False) -> Console:
    """Return the console a report is printed on: as wide as the terminal, or wide enough for a table in a file.

    Where the reader leaves (`fastload ... | head`) the rest is dropped, and the exit code stays the run's.
    """
    from rich.console import Console

    class ReportConsole(Console):
        def on_broken_pipe(self) -> None:
            """Drop what nobody reads; rich would end the process with 1."""
            self.quiet = True
            silence_stdout()

    console = ReportConsole(stderr=stderr)
    return console if console.is_terminal else ReportConsole(stderr=stderr, width=_FILE_COLUMNS)


def silence_stdout() -> None:
    """Send stdout nowhere, because its reader is gone: the interpreter must not complain about it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

"""Every export format by name, and the writing of its files: all or nothing each.

A format is a module with `files(recording)`; it is imported when it is asked for. Knows no format's content. Invariant: a
reader never sees half a file, and a format that cannot be made is an error of one line, never an empty file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.report.exports.recording import Recording

_FILE_MODE: Final = 0o644
"""What `open` gives under the usual umask; a temporary file is made 0600."""
STDOUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of a format: its usual name, and what writes its bytes."""

    name: str
    write: Callable[[IO[bytes]], None]


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        module: below this package; has `files(recording) -> Sequence[ExportFile]`, in which `name` is the format's.
        what: the sentence of the help.
    """

    module: str
    what: str


FORMATS: Final[dict[str, Format]] = {
    "parquet": Format("parquet", "requests.parquet: requests.csv with types (needs the extra fastload[parquet])"),
    "jsonl": Format("jsonl", "request_rows.jsonl: the rows of requests.csv, one object a line"),
    "tokens": Format("tokens", "tokens.parquet: every token, of a run with --tokens (needs the extra fastload[parquet])"),
    "hlog": Format("hdr_files", "histograms.hlog: HdrHistogram log, a tag per metric and target, values in ns"),
    "hgrm": Format("hdr_files", "METRIC.hgrm: HdrHistogram percentile table of each metric, values in ms"),
    "openmetrics": Format("openmetrics", "openmetrics.txt: OpenMetrics text, stamped with the end of the load"),
    "junit": Format("junit", "junit.xml: a test case per gate, and one for validity"),
    "llm-locust": Format("llm_locust", "llm-locust.csv, .jsonl and llm-locust-metrics.csv: the columns of llm-locust"),
    "llm-stress": Format("llm_stress", "combined_results.csv: the columns of llm-stress-tests"),
    "vllm": Format("vllm", "vllm.json: as vllm bench serve --save-result"),
    "vllm-detailed": Format("vllm", "vllm-detailed.json: as vllm bench serve --save-result --save-detailed"),
    "guidellm": Format("guidellm", "benchmarks.json: a GuideLLM report"),
    "aiperf": Format("aiperf", "profile_export_aiperf.json and profile_export.jsonl: as AIPerf"),
}
"""In the order of the help."""


def export_files(recording: Recording, name: str) -> Sequence[ExportFile]:
    """Return the files of a format.

    Raises:
        FastloadError: the recording lacks what it needs.
    """
    found = import_module(f"fastload.report.exports.{FORMATS[name].module}").files(recording, name)
    assert isinstance(found, list)
    return found


def write_file(file: ExportFile, path: Path) -> None:
    """Write a file; `-` is standard output.

    Raises:
        FastloadError: it cannot be written.
    """
    if path == STDOUT:
        file.write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    try:
        with replacing(path) as out:
            file.write(out)
    except OSError as error:
        raise FastloadError(f"cannot write {path}: {error.strerror or error}", hint="give another -o") from None


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `target` that takes its place when the block ends well; a device or pipe is written directly."""
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            os.fchmod(file.fileno(), target.stat().st_mode & 0o777 if target.exists() else _FILE_MODE)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

"""`fastload export`: an earlier result in the formats of other tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fastload.cli.options import debug_option
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.report.exports.recording import Recording
    from fastload.report.exports.registry import ExportFile

ALL: Final = "all"
_STDOUT: Final = Path("-")


class _Formats(click.Command):
    """Lists the formats at the end of its help, from the registry, which imports none of them."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        from fastload.report.exports.registry import FORMATS

        with formatter.section("Formats"):
            formatter.write_dl([*((name, found.what) for name, found in FORMATS.items()), (ALL, "every one that this result has")])


@click.command(name="export", cls=_Formats, short_help="Write an earlier result in the formats of other tools.")
@click.argument("result", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "names", metavar="F", multiple=True, required=True, help="Format; repeatable, or a,b,c.")
@click.option(
    "-o", "--out", metavar="PATH", type=click.Path(path_type=Path), help="Directory (DIR), or FILE for one file; - is stdout."
)
@debug_option
def command(result: Path, names: tuple[str, ...], out: Path | None) -> None:
    """Write an earlier result in the formats of other tools.

    DIR is what `-o` named; a summary.json with the other files beside it does as well. Prints the names of the files it wrote.
    """
    from fastload.report.exports.recording import Recording
    from fastload.report.exports.registry import write_file

    wanted, every = _wanted(names)
    recording = Recording(result)
    files = _files(recording, wanted, lenient=every)
    for file, path in _places(files, out, recording.directory, every=every):
        write_file(file, path)
        if path != _STDOUT:
            print(path)


def _wanted(names: tuple[str, ...]) -> tuple[list[str], bool]:
    """Return the formats, and whether they are all there are."""
    from difflib import get_close_matches

    from fastload.report.exports.registry import FORMATS

    given = [name.strip() for text in names for name in text.split(",")]
    for name in given:
        if name not in FORMATS and name != ALL:
            close = get_close_matches(name, FORMATS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"formats: {', '.join(FORMATS)}"
            raise FastloadError(f"no format is called {name!r}", hint=hint)
    return (list(FORMATS), True) if ALL in given else (list(dict.fromkeys(given)), False)


def _files(recording: Recording, wanted: list[str], *, lenient: bool) -> list[ExportFile]:
    """Return the files of the formats; of `all`, one that this result or machine cannot give is a note on stderr."""
    from fastload.report.exports.registry import export_files

    assert recording.summary  # a directory without a result is one error, not one a format
    if lenient and recording.complete:
        assert recording.run  # so are files that are damaged: then there is not a format less, but a result that cannot be trusted
    found: list[ExportFile] = []
    for name in wanted:
        try:
            found += export_files(recording, name)
        except FastloadError as error:
            if not lenient:
                raise
            print(f"fastload: note: no {name}: {error}", file=sys.stderr)
    return found


def _places(files: list[ExportFile], out: Path | None, directory: Path, *, every: bool) -> list[tuple[ExportFile, Path]]:
    """Return where each file goes: one to the file that is named, several, and those of `all`, into the directory."""
    if out is None:
        return [(file, directory / file.name) for file in files]
    if out == _STDOUT or (len(files) == 1 and not every and not out.is_dir()):
        if len(files) != 1:
            raise FastloadError(f"{len(files)} files do not fit into one stream", hint="name a directory with -o")
        return [(files[0], out)]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FastloadError(f"cannot make the directory {out}", why=(error.strerror or str(error)).lower()) from None
    return [(file, out / file.name) for file in files]

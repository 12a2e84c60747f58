"""`fastload data`: the data sets known by name, what a file of prompts holds, and the one place that downloads anything.

A run never comes here. Invariant: a file in the data directory is whole: it is written under another name and then renamed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fastload.cli.options import debug_option
from fastload.errors import ExitCode, FastloadError

if TYPE_CHECKING:
    from fastload.workload.datasets import DataSet

_CHUNK_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 30.0
_SAMPLE_CHARACTERS: Final = 300


@click.group(name="data", short_help="List the data sets, fetch one, look into a file.")
def command() -> None:
    """List the data sets, fetch one, or look into a file.

    `--dataset NAME` finds a set in the data directory ($FASTLOAD_DATA_DIR, else fastload in the user's data directory),
    `--dataset NAME:PATH` anywhere.
    """


@command.command(name="list")
@debug_option
def show_list() -> None:
    """List the data sets known by name and whether they are here."""
    from fastload.plugins import installed
    from fastload.workload.datasets import CODE, DATA_SETS, data_directory

    folder = data_directory()
    click.echo(f"data directory: {folder}\n")
    width = max(map(len, DATA_SETS))
    for one in DATA_SETS.values():
        here = "built in" if one.name == CODE else "here" if (folder / one.file).is_file() else "fetch" if one.url else "by hand"
        click.echo(f"{one.name:<{width}}  {here:<8}  {one.what} ({one.licence})")
    for plugin in installed("prompts"):
        click.echo(f"{plugin.name:<{width}}  {'plug-in':<8}  prompts of the package {plugin.package}")


@command.command(name="show")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dataset", metavar="NAME", help="Read it as this data set.")
@click.option("--columns", metavar="K=COL", help="Keys of items or columns: prompt=q,system=s.")
@click.option("--tokenizer", metavar="PATH", help="Count tokens with this local tokenizer.")
@debug_option
def show_file(file: Path, dataset: str | None, columns: str | None, tokenizer: str | None) -> None:
    """Say what FILE holds: how many prompts, how long they are, how many conversations, and its first prompt."""
    from fastload.plan.prompts_section import columns_of_text
    from fastload.workload.conversations import load_conversations
    from fastload.workload.datasets import load_data_set
    from fastload.workload.prompts import load_prompts
    from fastload.workload.sources import CHARACTERS_PER_TOKEN, token_count
    from fastload.workload.tokenizers import load_tokenizer

    try:
        named = columns_of_text(columns) if columns else {}
    except ValueError as error:
        raise FastloadError(f"--columns: {error}") from None
    loaded = load_prompts(file, named) if dataset is None else load_data_set(f"{dataset}:{file}", named)
    counter = None if tokenizer is None else load_tokenizer(tokenizer)
    lengths = sorted(token_count(prompt, counter) for prompt in loaded.prompts)
    how = f"a token taken for {CHARACTERS_PER_TOKEN} characters" if counter is None else f"by {tokenizer}"
    click.echo(f"{file}: {len(lengths)} prompts" + (f", {loaded.skipped} items without one" if loaded.skipped else ""))
    click.echo(f"tokens ({how}): min {lengths[0]}, median {lengths[len(lengths) // 2]}, max {lengths[-1]}")
    asked = sum(prompt.max_tokens is not None for prompt in loaded.prompts)
    if asked:
        click.echo(f"{asked} of them say how long the answer is to be")
    try:
        turns = [len(conversation.turns) for conversation in load_conversations(file)]
    except FastloadError:
        turns = []  # prompts without turns are no conversations, and need not be
    if turns and max(turns) > 1:
        click.echo(f"as conversations: {len(turns)}, of {min(turns)} to {max(turns)} turns, {sum(turns)} in all")
    text = " ".join(str(loaded.prompts[0].messages[-1].get("content", "")).split())
    click.echo(f"first: {text[:_SAMPLE_CHARACTERS]}{'…' if len(text) > _SAMPLE_CHARACTERS else ''}")


@command.command(name="fetch")
@click.argument("name")
@click.option("--from", "source", metavar="URL", help="Download from here instead, a mirror for instance.")
@click.option("--to", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Put it here instead of the data directory.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@debug_option
def fetch(name: str, source: str | None, folder: Path | None, force: bool) -> None:
    """Download the data set NAME, or say where to get it and where to put it."""
    from fastload.workload.datasets import data_directory, find_data_set

    known = find_data_set(name)
    if not known.file:
        click.echo(f"{known.name} is part of fastload: use --dataset {known.name}")
        return
    path = (folder or data_directory()) / known.file
    if path.exists() and not force:
        click.echo(f"{known.name} is here: {path}")
        return
    source = source or known.url
    if source is None:
        raise FastloadError(
            f"{known.name} cannot be fetched",
            why=f"it is had by hand: {known.page}",
            hint=f"put its file at {path} or give its path",
        )
    click.echo(f"{known.name}: {known.what}\nlicence: {known.licence}\nfrom: {source}\nto: {path}", err=True)
    _download(source, path, known)
    click.echo(f"{path}: {_checked(known, path)}")


def _download(source: str, path: Path, known: DataSet) -> None:
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    from fastload import __version__

    if not source.startswith(("http://", "https://")):
        raise FastloadError(f"--from {source!r} is no http or https URL")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urlopen(Request(source, headers={"User-Agent": f"fastload/{__version__}"}), timeout=_TIMEOUT_S) as response,
            part.open("wb") as file,
        ):
            _copy(response.read, file.write, response.length)
        part.replace(path)
    except (URLError, TimeoutError, ConnectionError, EOFError) as error:
        if isinstance(error, HTTPError):
            error.close()
        reason = getattr(error, "reason", None) or error
        raise FastloadError(
            f"cannot fetch {known.name} from {source}: {reason}",
            hint=f"download it elsewhere (see {known.page}) and put it at {path}",
            exit_code=ExitCode.UNREACHABLE,
        ) from None
    except OSError as error:
        raise FastloadError(f"cannot write {path}", why=(error.strerror or str(error)).lower()) from None
    finally:
        part.unlink(missing_ok=True)


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], length: int | None) -> None:
    """Copy a response's body; a short one is an error, for a data set cut off in the middle still reads as one."""
    done = 0
    while chunk := read(_CHUNK_BYTES):
        write(chunk)
        done += len(chunk)
    if length is not None and done != length:
        raise EOFError(f"it ended after {done} of {length} bytes")


def _checked(known: DataSet, path: Path) -> str:
    """Return how many prompts a fetched file holds; it stays where it is even when it cannot be read here."""
    from fastload.workload.datasets import load_data_set

    try:
        return f"{len(load_data_set(f'{known.name}:{path}').prompts)} prompts"
    except FastloadError as error:
        return f"fetched, but cannot be used: {error}"

"""A dialect that a user declares in a YAML file: where requests go, a body template, and where the content lies.

Pure but for reading the file. Invariant: a mistake in the file is one error that names the file and the line, before any load.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.http import METHODS
from fastload.dialects.template import fill
from fastload.errors import FastloadError

_HINT: Final = "see docs/dialects.md for the keys and an example"


@dataclass(frozen=True, kw_only=True)
class Declared(Dialect):
    """A dialect out of a file."""

    template: Any
    """An object (sent as JSON) or a text (sent as it is), with fields such as `{{prompt}}`."""
    own_headers: dict[str, str] = field(default_factory=dict)

    def headers(self, api_key: str | None, *, stream: bool) -> dict[str, str]:
        """Return the headers; the file's win."""
        own = {name.lower() for name in self.own_headers}
        headers = super().headers(api_key, stream=stream)
        return {**{name: value for name, value in headers.items() if name.lower() not in own}, **self.own_headers}

    def body(self, request: ChatRequest) -> bytes:
        """Return the template filled in; what the user adds goes into an object and cannot go into a text."""
        filled = fill(self.template, request)
        if isinstance(filled, str):
            return filled.encode()
        return self.encode(filled, request) if isinstance(filled, dict) else orjson.dumps(filled)


class _Spec(BaseModel):
    """The file's keys."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = None
    path: str
    method: str = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Any] | list[Any] | str
    streams: bool = True
    stream_type: str = "text/event-stream"
    text: list[str] = Field(default_factory=list)
    reasoning: list[str] = Field(default_factory=list)
    tools: list[str] = Field(default_factory=list)
    aside: list[str] = Field(default_factory=list)
    usage: list[str] = Field(default_factory=list)
    output_tokens: list[str] = Field(default_factory=list)
    input_tokens: list[str] = Field(default_factory=list)
    error: list[str] = Field(default_factory=lambda: ["error"])
    finish: list[str] = Field(default_factory=list)
    whole_text: list[str] = Field(default_factory=list)
    whole_other: list[str] = Field(default_factory=list)
    done_marker: str = ""
    needs_end: bool | None = None
    cumulative: bool = False


def load_dialect(path: Path) -> Dialect:
    """Return the dialect a YAML file declares.

    Raises:
        FastloadError: it cannot be read, or something in it is wrong.
    """
    document, lines = _read(path)
    try:
        spec = _Spec.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        at = ".".join(map(str, first["loc"]))
        text = {"extra_forbidden": f"unknown key {at}", "missing": f"the key {at} is missing"}.get(
            first["type"], f"{at}: {first['msg'].lower()}"
        )
        raise FastloadError(f"{path}:{lines.get(key, 1)}: {text}", hint=_HINT) from None
    _check(path, lines, spec)
    try:
        return _dialect(path, spec)
    except ValueError as error:  # of a path
        line = next((lines[key] for key in lines if _holds_bad(document.get(key), str(error))), 1)
        raise FastloadError(f"{path}:{line}: {error}", hint=_HINT) from None


def _dialect(path: Path, spec: _Spec) -> Dialect:
    ends = bool(spec.done_marker or spec.finish)
    # A file that says nothing of where content lies asks for first byte and end only.
    reads = bool(spec.text or spec.reasoning or spec.tools or spec.whole_text or spec.whole_other)
    return Declared(
        name=spec.name or path.stem,
        path=spec.path,
        method=spec.method,
        own_headers=spec.headers,
        template=_object(spec.body),
        streams=spec.streams,
        stream_type=spec.stream_type,
        text_paths=tuple(spec.text),
        reasoning_paths=tuple(spec.reasoning),
        tool_paths=tuple(spec.tools),
        aside_paths=tuple(spec.aside),
        usage_paths=tuple(spec.usage or spec.output_tokens or spec.input_tokens),
        output_token_paths=tuple(spec.output_tokens),
        input_token_paths=tuple(spec.input_tokens),
        error_paths=tuple(spec.error) if reads else (),
        finish_paths=tuple(spec.finish),
        whole_text_paths=tuple(spec.whole_text),
        whole_other_paths=tuple(spec.whole_other),
        done_marker=spec.done_marker.encode(),
        needs_end=ends if spec.needs_end is None else spec.needs_end,
        cumulative=spec.cumulative,
        reads_body=reads,
    )


def _check(path: Path, lines: dict[str, int], spec: _Spec) -> None:
    def wrong(key: str, text: str) -> FastloadError:
        return FastloadError(f"{path}:{lines.get(key, 1)}: {text}", hint=_HINT)

    if spec.method not in METHODS:
        raise wrong("method", f"the method is {spec.method!r}, not one of {', '.join(METHODS)}")
    if len(spec.done_marker.encode()) > 32:
        raise wrong("done_marker", "done_marker is longer than 32 bytes")
    if spec.needs_end and not (spec.done_marker or spec.finish):
        raise wrong("needs_end", "needs_end without done_marker or finish: no stream could ever end well")
    if not isinstance(_object(spec.body), dict | list | str):
        raise wrong("body", "the body is neither an object nor a list nor a text")


def _object(body: Any) -> Any:
    """Return a text that is JSON as what it says, so that a prompt put into it is escaped."""
    if isinstance(body, str):
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        return document if isinstance(document, dict | list) else body
    return body


def _holds_bad(value: object, text: str) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(each, str) and repr(each) in text for each in values)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the file's mapping and the line of each of its keys."""
    try:
        loader = yaml.SafeLoader(path.read_bytes())
        node = loader.get_single_node()
        document = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise FastloadError(f"cannot read the dialect file {path}", why=(error.strerror or str(error)).lower()) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise FastloadError(f"{path}:{line}: not a dialect", why=error.problem or "malformed YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FastloadError(f"{path}: not a dialect", why=" ".join(str(error).split())) from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(document, dict):
        raise FastloadError(f"{path}: not a dialect", why="it is not a mapping of keys to values", hint=_HINT)
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.value in lines:
            raise FastloadError(f"{path}:{key.start_mark.line + 1}: the key {key.value} is given twice")
        lines[key.value] = key.start_mark.line + 1
    return {str(key): value for key, value in document.items()}, lines

"""Dialects that are not built in: any HTTP endpoint, a user's YAML file, an installed package's."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from fastload.dialects import registry
from fastload.dialects.base import ChatRequest, Usage
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.dialects.registry import get_dialect
from fastload.errors import FastloadError

ASKED = ChatRequest([{"role": "user", "content": 'say "hi"'}], 7, "m", fields={"id": 3})
FILE = """\
path: /v1/generate
method: PUT
headers: {X-Key: v, accept: text/plain}
body:
  q: "{{prompt}}"
  n: "{{ max_tokens }}"
  note: "{{id}} of {{model}}"
  fixed: [1, true, null]
text: [token.text]
output_tokens: [stats.out]
input_tokens: [stats.in]
finish: [stats]
whole_text: [text]
"""


def declared(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return get_dialect(str(file))


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(FastloadError) as caught:
        declared(tmp_path, text)
    return str(caught.value).replace(str(tmp_path), "")


def test_declaration(tmp_path: Path) -> None:
    """A file says where requests go, with which headers, and where in the answer things lie."""
    dialect = declared(tmp_path, FILE)
    assert (dialect.name, dialect.path, dialect.method, dialect.needs_end) == ("mine", "/v1/generate", "PUT", True)
    assert dialect.headers("k", stream=True) == {
        "Content-Type": "application/json",
        "Authorization": "Bearer k",
        "X-Key": "v",
        "accept": "text/plain",
    }
    assert dialect.usage({"stats": {"out": 5, "in": 6}}) == Usage(5, 6)
    assert dialect.answer_text({"text": "x"}) == "x"


def test_template(tmp_path: Path) -> None:
    """A text that is one field takes the field's type; within a text it is text; the prompt is escaped as JSON demands."""
    body = json.loads(declared(tmp_path, FILE).body(ASKED))
    assert body == {"q": 'say "hi"', "n": 7, "note": "3 of m", "fixed": [1, True, None]}


def test_the_users_keys_go_into_the_template(tmp_path: Path) -> None:
    """`prompts.body` is put over a template that is an object."""
    asked = ChatRequest(ASKED.messages, 7, "m", fields={"id": 3}, extra={"n": 9, "t": 0})
    body = json.loads(declared(tmp_path, FILE).body(asked))
    assert (body["n"], body["t"]) == (9, 0)


def test_the_example_of_the_docs(tmp_path: Path) -> None:
    """The file that the documentation shows is one, and sends what it says."""
    page = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text()
    dialect = declared(tmp_path, page.split("```yaml\n")[1].split("```")[0])
    assert json.loads(dialect.body(ASKED)) == {"input": 'say "hi"', "limit": 7, "stream": True}
    assert dialect.usage({"stats": {"out": 5}}) == Usage(5, None)


def test_json_in_a_text(tmp_path: Path) -> None:
    """A body written as a text of JSON is JSON, so that quotes in a prompt break nothing."""
    dialect = declared(tmp_path, 'path: /x\nbody: \'{"q": "{{prompt}}"}\'\n')
    assert json.loads(dialect.body(ASKED)) == {"q": 'say "hi"'}


def test_plain_text(tmp_path: Path) -> None:
    """A body that is no JSON is sent as the text it is."""
    assert declared(tmp_path, "path: /x\nbody: 'q={{prompt}}'\n").body(ASKED) == b'q=say "hi"'


def test_without_content_paths_nothing_is_read(tmp_path: Path) -> None:
    """A file that does not say where content lies asks for first byte and end only."""
    dialect = declared(tmp_path, "path: /x\nbody: {}\n")
    assert (dialect.reads_body, dialect.needs_end) == (False, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path: /x\nbody: {}\npaht: /y\n", "/mine.yaml:3: unknown key paht"),
        ("path: /x\n", "/mine.yaml:1: the key body is missing"),
        ("body: {}\npath: x\n", "/mine.yaml:2: dialect mine: the path 'x' does not start with /"),
        ("path: /x\nbody: {}\ntext: ['a..b']\n", "/mine.yaml:3: bad path 'a..b' at character 2"),
        ("path: /x\nbody: {}\ntext: a\n", "/mine.yaml:3: text: input should be a valid list"),
        ("path: /x\nbody: {}\nmethod: HEAD\n", "/mine.yaml:3: the method is 'HEAD'"),
        ("path: /x\nbody: {}\nneeds_end: true\n", "/mine.yaml:3: needs_end without done_marker or finish"),
        ("path: /x\nbody: {}\npath: /y\n", "/mine.yaml:3: the key path is given twice"),
        ("path: /x\nbody: {}\ndone_marker: " + 33 * "x" + "\n", "/mine.yaml:3: done_marker is longer than 32 bytes"),
        ("path: [\n", "/mine.yaml:2: not a dialect"),
        ("just text\n", "/mine.yaml: not a dialect - it is not a mapping"),
        ("", "/mine.yaml: not a dialect - it is not a mapping"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, said: str) -> None:
    """A mistake is one line that names the file and the line."""
    assert said in refusal(tmp_path, text)


def test_a_file_that_is_not_there() -> None:
    """A file that cannot be read is said by name."""
    with pytest.raises(FastloadError, match=r"cannot read the dialect file /nowhere/x\.yml"):
        get_dialect("/nowhere/x.yml")


def test_a_field_no_prompt_has(tmp_path: Path) -> None:
    """A field that a prompt does not have is an error, never an empty text."""
    with pytest.raises(FastloadError, match=r"asks for {{promt}}, which this prompt does not have"):
        declared(tmp_path, "path: /x\nbody: {q: '{{promt}}'}\n").body(ASKED)


def test_http_body() -> None:
    """The body of `http` is the user's, filled in."""
    asked = ChatRequest(ASKED.messages, 7, extra={"q": ["{{prompt}}"], "n": "{{max_tokens}}"})
    assert json.loads(get_dialect("http").body(asked)) == {"q": ['say "hi"'], "n": 7}


def test_http_methods() -> None:
    """`http:GET` asks with GET and sends nothing; HEAD, whose answer has a length and no body, is refused."""
    assert (get_dialect("http:get").method, get_dialect("http:GET").body(ASKED)) == ("GET", b"")
    with pytest.raises(FastloadError, match="unknown method"):
        get_dialect("http:HEAD")


def test_http_reads_nothing() -> None:
    """Of an answer to `http` only the first byte and the end are known."""
    assert (get_dialect("http").reads_body, get_dialect("http").streams) == (False, False)


@pytest.mark.parametrize("value", ["OPENAI_CHAT", "OpenAIChat"])
def test_entry_point(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """An installed package offers a dialect, or what makes one, under a name."""
    point = EntryPoint("theirs", f"fastload.dialects.openai_chat:{value}", registry.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group, name="theirs": [point] if name == "theirs" else [])
    assert get_dialect("theirs") == OPENAI_CHAT
    assert "theirs" in registry.dialect_names()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("fastload.dialects.nowhere:X", "cannot be loaded - ModuleNotFoundError"),
        ("fastload.dialects.base:Dialect", "cannot be loaded - TypeError"),
        ("builtins:dict", "is no dialect - builtins:dict gives a dict"),
    ],
)
def test_bad_entry_points(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    """A package whose dialect cannot be had is one line that names it."""
    point = EntryPoint("theirs", value, registry.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group, name: [point])
    with pytest.raises(FastloadError) as caught:
        get_dialect("theirs")
    assert said in str(caught.value)

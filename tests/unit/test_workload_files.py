"""Files of prompts: formats, columns, fields, media, and what is said of a bad file."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from fastload.errors import ExitCode, FastloadError
from fastload.workload.items import read_items
from fastload.workload.prompts import load_prompts

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def texts(path: Path, **arguments: Any) -> list[Any]:
    return [prompt.messages[-1]["content"] for prompt in load_prompts(path, **arguments).prompts]


def refusal(path: Path, **arguments: Any) -> str:
    with pytest.raises(FastloadError) as caught:
        load_prompts(path, **arguments)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"prompt": "a", "text": "b"}, "a"),
        ({"text": "b"}, "b"),
        ({"text_input": ["b"]}, "b"),
        ({"question": "q"}, "q"),
        ({"instruction": "do", "context": "", "response": "r"}, "do"),
        ({"instruction": "do", "context": "this", "response": "r"}, "this\n\ndo"),
        ({"instruction": "do", "input": "this", "output": "r"}, "this\n\ndo"),
        ({"turns": [{"content": "t"}]}, "t"),
        ({"conversation": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "r"}]}, "c"),
        ({"payload": [{"messages": [{"role": "user", "content": "p"}], "max_tokens": 7}]}, "p"),
    ],
)
def test_known_items(tmp_path: Path, item: dict[str, Any], text: str) -> None:
    """Items of Dolly, Alpaca, Arena-Hard, LMSYS, vLLM and genai-perf are understood by their keys."""
    assert texts(write(tmp_path / "a.jsonl", json.dumps(item))) == [text]


@pytest.mark.parametrize(
    ("name", "laid_out"),
    [(name, look) for name in ("a.json", "a.jsonl") for look in ("lines", "list", "pretty")] + [("a.json", "data")],
)
def test_json_is_recognized_by_its_look(tmp_path: Path, name: str, laid_out: str) -> None:
    """JSON lines and a JSON list, on one line or many, are read under either ending; an object's `data` is its list."""
    items = [{"prompt": "one"}, {"prompt": "two"}]
    data = {
        "lines": "\n".join(map(json.dumps, items)),
        "list": json.dumps(items) if name == "a.json" else "[\n" + json.dumps(items)[1:],
        "pretty": json.dumps(items, indent=2),
        "data": json.dumps({"data": items}, indent=2),
    }[laid_out]
    assert texts(write(tmp_path / name, data)) == ["one", "two"]


def test_csv_as_the_standard_library_writes_it(tmp_path: Path) -> None:
    """Quotes, commas and line breaks inside fields survive; the place of a row is the line it begins on."""
    rows = [["a,b", "x"], ['say "hi"\nthere', "y"], ["z", "w"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "other"], *rows])
    items = read_items(tmp_path / "a.csv")
    assert [item.value["prompt"] for item in items] == [row[0] for row in rows]
    assert [item.place.rpartition(":")[2] for item in items] == ["2", "3", "5"]


def test_a_long_field(tmp_path: Path) -> None:
    """A field longer than the csv module's own limit of 128 KiB is read."""
    assert texts(write(tmp_path / "a.csv", "prompt\n" + "x" * 200_000 + "\n")) == ["x" * 200_000]


@pytest.mark.parametrize(
    ("name", "data", "columns", "complaint"),
    [
        ("a.csv", "", None, "holds no prompts"),
        ("a.csv", "prompt\n", None, "holds no prompts"),
        ("a.csv", "a,b\n1\n", None, "a.csv:2: 1 columns where the head has 2"),
        ("a.csv", "a,a\n1,2\n", None, "a.csv:1: the column 'a' is there twice"),
        ("a.csv", "a,b\nx,y\n", None, "a.csv:2: missing key"),
        ("a.csv", "a,b\nx,y\n", {"prompt": "q"}, "has no column 'q' - its columns: a, b"),
        ("a.csv", b"a\n\xff\n", None, "a.csv:2: not UTF-8"),
        ("a.csv", 'a\n"open\n', None, "a.csv:2: malformed"),
        ("a.jsonl", '{"b": "x"}', {"prompt": "q"}, "a.jsonl:1: no key 'q'; it has b"),
        ("a.jsonl", '"x"', {"prompt": "q"}, "a.jsonl:1: a text has no keys"),
        ("a.jsonl", '{"prompt": " "}', None, "a.jsonl:1: prompt is empty"),
        ("a.jsonl", '{"prompt": "a", "output_tokens": 0}', None, "a.jsonl:1: output_tokens is 0"),
        ("a.jsonl", '{"prompt": "a", "max_tokens": -5}', None, "a.jsonl:1: max_tokens is -5"),
        ("a.jsonl", '{"payload": 5}', None, "a.jsonl:1: payload is not a request body"),
        ("a.json", '{"a": 1}\n{"a": \n', None, "a.json:2: not JSON"),
    ],
)
def test_bad_file(tmp_path: Path, name: str, data: str | bytes, columns: dict[str, str] | None, complaint: str) -> None:
    """What is wrong is said by file and line, with what there is instead."""
    assert complaint in refusal(write(tmp_path / name, data), columns=columns)


def test_columns_choose(tmp_path: Path) -> None:
    """Columns name what a file keeps under other keys, and win over its own."""
    path = write(tmp_path / "a.csv", "prompt,q,s,n\nold,new,be brief,9\n")
    prompt = load_prompts(path, {"prompt": "q", "system": "s", "max_tokens": "n"}).prompts[0]
    assert prompt.messages == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "new"}]
    assert prompt.max_tokens == 9


def test_lengths_and_fields_are_kept(tmp_path: Path) -> None:
    """The length an item asks for and its further keys come along."""
    path = write(tmp_path / "a.jsonl", '{"prompt": "a", "output_tokens": 12, "tools": [1], "id": "x"}')
    prompt = load_prompts(path).prompts[0]
    assert (prompt.max_tokens, prompt.fields["tools"], prompt.fields["id"], "prompt" in prompt.fields) == (12, [1], "x", False)


def test_reranking_needs_no_prompt(tmp_path: Path) -> None:
    """A query with documents is an item of its own kind."""
    path = write(tmp_path / "a.jsonl", '{"query": "q", "documents": ["d"]}')
    assert load_prompts(path).prompts[0].fields == {"query": "q", "documents": ["d"]}


@pytest.mark.parametrize("url", ["a.png", "file:{folder}/a.png", "{folder}/a.png"])
def test_local_images_become_data_urls(tmp_path: Path, url: str) -> None:
    """A local file named in a content part is sent within the message, whatever way it is named."""
    write(tmp_path / "a.png", PNG)
    part = {"type": "image_url", "image_url": {"url": url.format(folder=tmp_path), "detail": "low"}}
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": [{"role": "user", "content": [part]}]}))
    sent = texts(path)[0][0]["image_url"]
    assert sent["detail"] == "low"
    assert base64.b64decode(sent["url"].removeprefix("data:image/png;base64,")) == PNG


@pytest.mark.parametrize("url", ["https://example.org/a.png", "data:image/png;base64,AAAA"])
def test_urls_pass_through(tmp_path: Path, url: str) -> None:
    """What is a URL already goes out as it is."""
    part = {"type": "image_url", "image_url": {"url": url}}
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": [{"role": "user", "content": [part]}]}))
    assert texts(path) == [[part]]


def test_image_beside_a_prompt(tmp_path: Path) -> None:
    """An item's `image` makes content parts of it."""
    write(tmp_path / "a.png", PNG)
    parts = texts(write(tmp_path / "a.jsonl", '{"prompt": "what?", "image": "a.png"}'))[0]
    assert [part["type"] for part in parts] == ["text", "image_url"]


def test_audio(tmp_path: Path) -> None:
    """An audio part's path becomes its data and format."""
    write(tmp_path / "a.wav", b"RIFF")
    part = {"type": "input_audio", "input_audio": {"path": "a.wav"}}
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": [{"role": "user", "content": [part]}]}))
    assert texts(path)[0][0]["input_audio"] == {"data": "UklGRg==", "format": "wav"}


@pytest.mark.parametrize(
    ("url", "complaint"), [("none.png", "cannot read"), ("a.txt", "the ending of"), ("", "has no url"), (5, "has no url")]
)
def test_bad_media(tmp_path: Path, url: object, complaint: str) -> None:
    """A missing file, one of another kind, or none at all is said by file and line."""
    write(tmp_path / "a.txt", "x")
    part = {"type": "image_url", "image_url": {"url": url}}
    line = refusal(write(tmp_path / "p.jsonl", json.dumps({"messages": [{"role": "user", "content": [part]}]})))
    assert "p.jsonl:1: " in line
    assert complaint in line


def test_parquet(tmp_path: Path) -> None:
    """A Parquet file's rows are items."""
    arrow = pytest.importorskip("pyarrow", reason="the extra fastload[parquet] is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"q": ["one", "two"], "n": [3, 4]}), path)
    loaded = load_prompts(path, {"prompt": "q", "max_tokens": "n"}).prompts
    assert [(prompt.messages[0]["content"], prompt.max_tokens) for prompt in loaded] == [("one", 3), ("two", 4)]
    assert "has no column 'z'" in refusal(path, columns={"prompt": "z"})
    assert "a.parquet: row 1: missing key" in refusal(path)
    assert "not a Parquet file" in refusal(write(tmp_path / "b.parquet", b"PAR1 no"))


def test_parquet_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the line says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert "pip install 'fastload[parquet]'" in refusal(write(tmp_path / "a.parquet", b""))

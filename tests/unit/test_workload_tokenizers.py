"""Tokenizer files: counts against the packages' own, exact prompt lengths, bad files; and a server's /tokenize."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastload.dialects.registry import get_dialect
from fastload.errors import ExitCode, FastloadError
from fastload.plan.model import Plan
from fastload.plan.prompts_section import Prompts
from fastload.workload.requests import RequestBuilder
from fastload.workload.server_tokenize import ServerCounter, tokenize_body, tokenize_count
from fastload.workload.sources import make_source
from fastload.workload.tokenizers import load_tokenizer
from fastload.workload.words import WORDS

TEXTS = ("the time has come", "Hello, world! 12345", "zwölf Boxkämpfer\n\n  x", "")


def ranks(words: tuple[str, ...] = WORDS) -> dict[bytes, int]:
    """All bytes, and each word with and without the space before it, as tokens."""
    tokens = [bytes([byte]) for byte in range(256)]
    for word in words:
        tokens += [word.encode(), b" " + word.encode()]
    return {token: rank for rank, token in enumerate(dict.fromkeys(tokens))}


def tiktoken_file(path: Path, words: tuple[str, ...] = WORDS) -> Path:
    path.write_bytes(b"\n".join(base64.b64encode(token) + b" %d" % rank for token, rank in ranks(words).items()))
    return path


def tekken_file(path: Path, pattern: str) -> Path:
    """Write a file of Mistral's kind: two special tokens counted within the size, two entries beyond it."""
    entries = [
        {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None} for token, rank in ranks().items()
    ]
    config = {"pattern": pattern, "default_vocab_size": len(entries), "default_num_special_tokens": 2}
    path.write_text(json.dumps({"config": config, "vocab": entries}))
    return path


def hugging_face_file(path: Path, **more: Any) -> Path:
    """Train a byte-level tokenizer on the built-in words, as a model's is on its texts."""
    module = pytest.importorskip("tokenizers", reason="the extra fastload[tokenizers] is not installed")
    made = module.Tokenizer(module.models.BPE())
    made.pre_tokenizer = module.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = module.decoders.ByteLevel()
    trainer = module.trainers.BpeTrainer(
        vocab_size=4000, initial_alphabet=module.pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>"], show_progress=False
    )
    made.train_from_iterator([f"{word} {word}" for word in WORDS] * 5, trainer)
    for name, value in more.items():
        getattr(made, name)(**value)
    made.save(str(path))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(FastloadError) as caught:
        load_tokenizer(path)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (ExitCode.USAGE, False)
    return str(caught.value)


def test_hugging_face(tmp_path: Path) -> None:
    """Counts are those of the package itself, without special tokens; decoding gives the text back."""
    path = hugging_face_file(tmp_path / "tokenizer.json")
    own = sys.modules["tokenizers"].Tokenizer.from_file(str(path))
    loaded = load_tokenizer(tmp_path)
    assert [loaded.count(text) for text in TEXTS] == [len(own.encode(text).ids) for text in TEXTS]
    assert [loaded.decode(loaded.encode(text)) for text in TEXTS] == list(TEXTS)


def test_truncation_and_padding_do_not_count(tmp_path: Path) -> None:
    """A file that cuts or pads texts to a model's length still counts all of a text and nothing else."""
    path = hugging_face_file(tmp_path / "a.json", enable_truncation={"max_length": 3}, enable_padding={"length": 50})
    assert load_tokenizer(path).count("the time has come") == 4


def test_tiktoken(tmp_path: Path) -> None:
    """Counts are those of a tiktoken encoding with the same ranks; special tokens in a text are plain text."""
    tiktoken = pytest.importorskip("tiktoken", reason="the extra fastload[tokenizers] is not installed")
    pattern = (
        r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    )
    own = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks(), special_tokens={})
    loaded = load_tokenizer(tiktoken_file(tmp_path / "cl100k_base.tiktoken"))
    assert [loaded.encode(text) for text in TEXTS] == [own.encode(text) for text in TEXTS]
    assert loaded.count("<|endoftext|>") > 1


def test_tekken(tmp_path: Path) -> None:
    """Mistral's file: the ranks within its size without the special tokens, cut by its own pattern."""
    tiktoken = pytest.importorskip("tiktoken", reason="the extra fastload[tokenizers] is not installed")
    pattern = r"\s?\w+|\W"
    kept = dict(list(ranks().items())[:-2])
    own = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=kept, special_tokens={})
    loaded = load_tokenizer(tekken_file(tmp_path / "tekken.json", pattern))
    last = list(ranks())[-1].decode()
    assert [loaded.encode(text) for text in (*TEXTS, last)] == [own.encode(text) for text in (*TEXTS, last)]


@pytest.mark.parametrize("count", [1, 2, 100, 129, 5000])
def test_generated_prompts_have_exact_lengths(tmp_path: Path, count: int) -> None:
    """With a tokenizer, N tokens are N tokens of that tokenizer, at any length."""
    pytest.importorskip("tiktoken", reason="the extra fastload[tokenizers] is not installed")
    path = tiktoken_file(tmp_path / "a.tiktoken", WORDS[:100])
    made = make_source(Prompts(tokenizer=str(path), input_tokens=str(count)))
    for index in range(5):
        asked = made.ask(index, 0.0)
        text = b"".join(asked.fresh).decode() if asked.fresh else asked.prompt.messages[0]["content"]
        assert load_tokenizer(path).count(text) == count


def test_filters_count_with_the_tokenizer(tmp_path: Path) -> None:
    """Length filters count as the tokenizer does."""
    pytest.importorskip("tiktoken", reason="the extra fastload[tokenizers] is not installed")
    path = tiktoken_file(tmp_path / "a.tiktoken")
    prompts = tmp_path / "p.txt"
    prompts.write_text("the time\nthe time has\nthe time has come\n")
    made = make_source(Prompts(tokenizer=str(path), file=prompts, min_tokens=3, max_tokens=3, once=True))
    assert (made.total, made.ask(0, 0.0).prompt.messages[0]["content"]) == (1, "the time has")


def test_a_tokenizer_without_words(tmp_path: Path) -> None:
    """A tokenizer that has no whole words cannot give exact lengths, and the line says what to do."""
    pytest.importorskip("tiktoken", reason="the extra fastload[tokenizers] is not installed")
    path = tiktoken_file(tmp_path / "a.tiktoken", ())
    with pytest.raises(FastloadError, match="leave --tokenizer out"):
        make_source(Prompts(tokenizer=str(path)))


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("a.json", b"{", "a.json:1: not JSON"),
        ("a.model", b"\n\x0e\n\x05<unk>\x00", "an unknown kind of tokenizer"),
        ("a.model", b"", "an unknown kind of tokenizer"),
        ("a.tiktoken", b"IQ== 0\nIg==\n", "a.tiktoken:2: not a line of a tiktoken file"),
        ("a.tiktoken", b"IQ== 0\n?? 1\n", "a.tiktoken:2: not a line of a tiktoken file"),
        ("tekken.json", b'{"config": {}, "vocab": []}', "tekken.json: not a tokenizer"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, data: bytes, complaint: str) -> None:
    """What is wrong with a file is said by file and line."""
    (tmp_path / name).write_bytes(data)
    assert complaint in refusal(tmp_path / name)


def test_json_that_is_no_tokenizer(tmp_path: Path) -> None:
    """Other JSON is refused with the package's reason."""
    pytest.importorskip("tokenizers", reason="the extra fastload[tokenizers] is not installed")
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert "a.json: not a tokenizer" in refusal(tmp_path / "a.json")


def test_names_are_not_looked_up(tmp_path: Path) -> None:
    """A model's name, or a directory without a tokenizer, is an error: nothing is downloaded."""
    assert "names of models are not looked up" in refusal(tmp_path / "meta-llama")
    assert "no tokenizer in" in refusal(tmp_path)


@pytest.mark.parametrize(("package", "name"), [("tokenizers", "a.json"), ("tiktoken", "a.tiktoken")])
def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str) -> None:
    """Without the optional package the line says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    path = tiktoken_file(tmp_path / name) if name.endswith("tiktoken") else tmp_path / name
    if name == "a.json":
        path.write_text("{}")
    assert "pip install 'fastload[tokenizers]'" in refusal(path)


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (b'{"count": 3, "max_model_len": 4096, "tokens": [1, 2, 3]}', 3),
        (b'{"tokens": [1, 2]}', 2),
        (b'{"tokens": [{"id": 1, "piece": "a"}]}', 1),
        (b'[{"id": 1, "text": "a", "start": 0, "stop": 1}]', 1),
        (b'{"tokens": []}', 0),
        (b'{"error": "x"}', None),
        (b'{"count": true}', None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_a_servers_count(answer: bytes, count: int | None) -> None:
    """The answers of vLLM, llama.cpp (with and without pieces) and TGI give their count, anything else none."""
    assert tokenize_count(answer) == count


def test_asking_a_server() -> None:
    """The text goes under the form's key; only the OpenAI-like form names a model."""
    assert orjson.loads(tokenize_body("prompt", "é", "m")) == {"prompt": "é", "add_special_tokens": False, "model": "m"}
    assert orjson.loads(tokenize_body("content", "é", "m")) == {"content": "é", "add_special_tokens": False}


@pytest.mark.parametrize("form", ["prompt", "content", "inputs"])
def test_a_server_is_asked_in_its_own_form(form: str) -> None:
    """The forms are tried in turn, and the one that was answered is kept."""
    asked: list[str] = []

    def post(body: bytes) -> bytes | None:
        document = orjson.loads(body)
        asked.append(next(key for key in ("prompt", "content", "inputs") if key in document))
        return orjson.dumps({"tokens": document[form].split()}) if form in document else None

    counter = ServerCounter(post, None)
    assert [counter.count("a b c"), counter.count("a")] == [3, 1]
    assert asked == [*("prompt", "content", "inputs")[: asked.index(form) + 1], form]


def test_a_server_that_does_not_count() -> None:
    """A server without /tokenize is one line, not a count of 0."""
    with pytest.raises(FastloadError, match="counts no tokens"):
        ServerCounter(lambda body: b'{"error": "not found"}', None).count("a")


def test_a_bad_tokenizer_is_refused_without_prompts_too() -> None:
    """A tokenizer needed only after a run, as of sessions, is read before it."""
    plan = Plan.model_validate({"targets": [{"url": "http://h"}], "prompts": {"tokenizer": "/nowhere/x.json"}})
    with pytest.raises(FastloadError, match="cannot read the tokenizer"):
        RequestBuilder(plan, plan.target, get_dialect("openai-chat"), prompts=False)

"""Lengths, words, prompt files: determinism, statistics against theory, and errors by file and line."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.errors import ExitCode, FastloadError
from fastload.plan.prompts_section import Prompts
from fastload.workload import words as words_module
from fastload.workload.distribution import MAX_TOKENS, parse_distribution
from fastload.workload.draws import PURPOSE_CORPUS, random_bytes
from fastload.workload.prompts import load_prompts
from fastload.workload.sources import make_source
from fastload.workload.words import WORDS, words

DRAWS = 20_000


def draws(text: str, seed: int = 1, purpose: int = 1, count: int = DRAWS) -> list[int]:
    distribution = parse_distribution(text, "--input-tokens")
    return [distribution.draw(seed, index, purpose) for index in range(count)]


@pytest.mark.parametrize("text", ["100", "fixed:100", " 100 ", "normal:100:0", "lognormal:100:0", "uniform:100:100"])
def test_one_length(text: str) -> None:
    """A number, and a distribution without spread, always give that number."""
    assert set(draws(text, count=50)) == {100}


def test_uniform() -> None:
    """Every integer of the range comes up, ends included, each about equally often (within 6 standard errors)."""
    values = draws("uniform:3:12")
    expected, error = DRAWS / 10, math.sqrt(DRAWS * 0.1 * 0.9)
    assert set(values) == set(range(3, 13))
    assert [value for value in range(3, 13) if abs(values.count(value) - expected) > 6 * error] == []


@pytest.mark.parametrize(("text", "mean", "stdev"), [("normal:500:50", 500, 50), ("lognormal:512:300", 512, 300)])
def test_moments_of_the_lengths(text: str, mean: float, stdev: float) -> None:
    """Mean and standard deviation of the lengths themselves are what the text says (6 standard errors, 5 % for the spread)."""
    values = draws(text)
    assert abs(fmean(values) - mean) < 6 * stdev / math.sqrt(DRAWS)
    assert abs(pstdev(values) - stdev) < 0.05 * stdev


def test_lognormal_median() -> None:
    """The median of a log-normal is exp(mu) = m / sqrt(1 + s^2/m^2), below its mean."""
    values = sorted(draws("lognormal:512:300"))
    expected = 512 / math.sqrt(1 + (300 / 512) ** 2)
    assert abs(values[DRAWS // 2] - expected) < 0.03 * expected


@given(
    text=st.sampled_from(["normal:2:50", "lognormal:2:1000", "uniform:1:3", f"normal:{MAX_TOKENS}:{MAX_TOKENS}"]),
    seed=st.integers(0, 2**64 - 1),
    index=st.integers(0, 2**63),
)
def test_lengths_are_possible(text: str, seed: int, index: int) -> None:
    """No draw is below 1, beyond the bound, or beyond what the distribution calls its longest, whatever the tail."""
    distribution = parse_distribution(text, "x")
    assert 1 <= distribution.draw(seed, index, 1) <= distribution.longest <= MAX_TOKENS


@pytest.mark.parametrize(("text", "longest"), [("100", 100), ("uniform:1:300", 300), ("normal:5:1", MAX_TOKENS)])
def test_the_longest(text: str, longest: int) -> None:
    """The longest length is the tightest there is where there is a bound."""
    assert parse_distribution(text, "x").longest == longest


@pytest.mark.parametrize(
    ("prompts", "made"),
    [
        ({"input_tokens": "128"}, False),
        ({"input_tokens": "129"}, True),
        ({"input_tokens": "lognormal:10:1"}, True),
        ({"growth": "linear:10:100:5s"}, False),
        ({"growth": "linear:1000:100:5s"}, True),
        ({"input_tokens": "30", "prefix": "groups:2,tokens:90"}, False),
        ({"input_tokens": "30", "prefix": "groups:2,tokens:99"}, True),
    ],
)
def test_the_corpus_is_made_before_a_load(monkeypatch: pytest.MonkeyPatch, prompts: dict[str, str], made: bool) -> None:
    """Where any prompt may be long, its text is made with the source; where none can be, it never is, whatever is asked."""
    makings: list[int] = []
    monkeypatch.setattr(words_module, "random_bytes", lambda *drawn: makings.append(drawn[2]) or random_bytes(*drawn))
    words_module._corpus.cache_clear()
    source = make_source(Prompts(seed=7, **prompts))
    assert makings.count(PURPOSE_CORPUS) == made
    for index in range(40):
        source.ask(index, index / 4)
    assert makings.count(PURPOSE_CORPUS) == made


@pytest.mark.parametrize("text", ["uniform:1:100000", "normal:5000:900", "lognormal:5000:900"])
def test_draws_depend_on_seed_index_and_purpose_only(text: str) -> None:
    """The same arguments give the same draw; another seed or purpose gives another sequence."""
    assert draws(text, count=20) == draws(text, count=20)
    assert draws(text, seed=2, count=20) != draws(text, count=20) != draws(text, purpose=2, count=20)


def test_random_bytes_are_pinned() -> None:
    """The generator is SHAKE-128 of (seed, index, purpose), little endian: no version may change what a seed means."""
    # From `printf '\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3' | openssl dgst -shake128 -xoflen 8`.
    assert random_bytes(1, 2, 3, 8).hex() == "881e785a96de933e"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "1.5",
        "uniform:1",
        "uniform:1:2:3",
        "uniform:a:b",
        "normal:1",
        "gamma:1:2",
        "normal:x:1",
        ":",
        "fixed:",
        "uniform",
    ],
)
def test_not_a_distribution(text: str) -> None:
    """Bad syntax is one line that names the flag and the forms."""
    with pytest.raises(FastloadError, match="is not a distribution") as caught:
        parse_distribution(text, "--output-tokens")
    assert str(caught.value).startswith(f"--output-tokens {text!r}")
    assert "uniform:MIN:MAX" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-5",
        "uniform:0:5",
        "uniform:9:5",
        "normal:0:1",
        "normal:5:-1",
        "lognormal:0.5:1",
        "normal:nan:1",
        "normal:5:inf",
        "99999999",
    ],
)
def test_impossible_lengths(text: str) -> None:
    """Lengths below 1, backward ranges, negative spreads and absurd sizes are refused as such."""
    with pytest.raises(FastloadError, match="is out of range"):
        parse_distribution(text, "--input-tokens")


def test_words_are_256_plain_ones() -> None:
    """One byte chooses one word; each is a short lower-case word."""
    assert len(WORDS) == len(set(WORDS)) == 256
    assert [word for word in WORDS if not (word.isascii() and word.islower() and word.isalpha() and len(word) <= 7)] == []


@given(seed=st.integers(0, 2**64 - 1), index=st.integers(0, 2**63), count=st.integers(1, 500))
def test_word_count(seed: int, index: int, count: int) -> None:
    """N tokens are N words."""
    assert len(words(seed, index, count).split(" ")) == count


def test_words_are_fresh() -> None:
    """No two prompts share their beginning, so no prefix cache helps."""
    prompts = [words(0, index, 100) for index in range(2000)]
    assert len({prompt[:40] for prompt in prompts}) == 2000
    assert words(0, 1, 100) == prompts[1] != words(1, 1, 100)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("name", "data", "texts"),
    [
        ("a.txt", b"one\ntwo\n", ["one", "two"]),
        ("a.txt", b"one\r\n\r\n  \r\ntwo", ["one", "two"]),
        ("a.txt", b"\xef\xbb\xbfone\n", ["one"]),
        ("a", "zwölf\u2028x\n".encode(), ["zwölf\u2028x"]),
        ("a.txt", b"  indented stays\n", ["  indented stays"]),
        ("a.jsonl", b'{"prompt": "one"}\n\n"two"\r\n{"turns": ["three", "x"]}\n', ["one", "two", "three"]),
        ("a.JSONL", b'\xef\xbb\xbf{"prompt": "one", "id": 3}\n', ["one"]),
        ("a.ndjson", b'{"conversations": [{"from": "gpt", "value": "x"}, {"from": "human", "value": "q"}]}', ["q"]),
        ("a.json", b'["one", {"prompt": "two"}, {"conversations": [{"from": "human", "value": "q"}]}]', ["one", "two", "q"]),
    ],
)
def test_prompt_file(tmp_path: Path, name: str, data: bytes, texts: list[str]) -> None:
    """Every format gives its prompts in order; blank lines, BOM and CRLF do not matter."""
    path = tmp_path / name
    path.write_bytes(data)
    assert [prompt.messages for prompt in load_prompts(path).prompts] == [user(text) for text in texts]


def test_messages_are_kept_whole(tmp_path: Path) -> None:
    """Chat messages go out as they stand, content parts and tool calls included."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "t"}]},'
        ' {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}]}'
    )
    assert load_prompts(path).prompts[0].messages == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ]


def test_conversations_without_a_human_are_counted(tmp_path: Path) -> None:
    """ShareGPT entries nobody asks anything in are skipped, and the number is known."""
    path = tmp_path / "a.json"
    path.write_text('[{"conversations": []}, {"conversations": [{"from": "human", "value": "q"}]}]')
    loaded = load_prompts(path)
    assert (len(loaded.prompts), loaded.skipped) == (1, 1)


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("a.txt", b"", "holds no prompts"),
        ("a.txt", b"\n  \n\r\n", "holds no prompts"),
        ("a.json", b"[]", "holds no prompts"),
        ("a.json", b'[{"conversations": []}]', "holds no prompts"),
        ("a.txt", b"ok\nb\xffd\n", "a.txt:2: not UTF-8 - byte 0xff at column 2"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": \n', "a.jsonl:2: not JSON"),
        ("a.jsonl", b'\n\n{"texts": "a"}\n', "a.jsonl:3: missing key: one of prompt, messages, turns or conversations"),
        ("a.jsonl", b'{"prompt": 5}', "a.jsonl:1: prompt is a number, not a text"),
        ("a.jsonl", b'{"prompt": ""}', "a.jsonl:1: prompt is empty"),
        ("a.jsonl", b'""', "a.jsonl:1: the prompt is empty"),
        ("a.jsonl", b"[1]", "a.jsonl:1: a list is no prompt"),
        ("a.jsonl", b"null", "a.jsonl:1: null is no prompt"),
        ("a.jsonl", b'{"messages": []}', "a.jsonl:1: messages is not a list with at least one message"),
        ("a.jsonl", b'{"messages": [{"content": "x"}]}', r"a.jsonl:1: messages\[0\] has no role"),
        ("a.jsonl", b'{"messages": [{"role": "user"}]}', r"a.jsonl:1: messages\[0\] has no content"),
        ("a.jsonl", b'{"turns": []}', "a.jsonl:1: turns is not a list"),
        ("a.jsonl", b'{"turns": [1]}', r"a.jsonl:1: turns\[0\] is a number"),
        ("a.jsonl", b'{"conversations": 1}', "a.jsonl:1: conversations is a number, not a list"),
        ("a.json", b'[\n"a",\n{]\n', "a.json:3: not JSON"),
        ("a.json", b'{"prompt": "a"}', "a.json: holds an object, not a list of prompts"),
        ("a.json", b'["a", 5]', "a.json: item 2: a number is no prompt"),
    ],
)
def test_bad_prompt_file(tmp_path: Path, name: str, data: bytes, complaint: str) -> None:
    """What is wrong with a prompt file is said by file and line, exit code 2."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(FastloadError, match=complaint) as caught:
        load_prompts(path)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "\n" not in str(caught.value)


def test_missing_prompt_file(tmp_path: Path) -> None:
    """A file that is not there is named, with the system's reason."""
    with pytest.raises(FastloadError, match=r"cannot read the prompt file .*nowhere - no such file or directory"):
        load_prompts(tmp_path / "nowhere")

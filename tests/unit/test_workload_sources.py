"""Where prompts come from: growth over the run, shared prefixes, order, length filters, known data sets."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.dialects.base import ChatRequest
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.errors import ExitCode, FastloadError
from fastload.plan.prompts_section import Prompts
from fastload.workload.code_prompts import CODE_PROMPTS
from fastload.workload.datasets import DATA_SETS, data_directory, dataset_file, find_data_set, load_data_set
from fastload.workload.distribution import MAX_TOKENS
from fastload.workload.growth import parse_growth
from fastload.workload.prefix import parse_prefix
from fastload.workload.sources import Source, make_source
from fastload.workload.splicing import Splicer

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def source(**keys: Any) -> Source:
    made = make_source(Prompts.model_validate(keys))
    made.prepare(Splicer(OPENAI_CHAT, ChatRequest([], 1)))
    return made


def text(made: Source, index: int, elapsed_s: float = 0.0) -> str:
    content = made.ask(index, elapsed_s).prompt.messages[-1]["content"]
    assert isinstance(content, str)
    return content


def lines(path: Path, *texts: str) -> Path:
    path.write_text("\n".join(texts))
    return path


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        ("linear:100:4000:60s", {0: 100, 30: 2050, 60: 4000, 1000: 4000}),
        ("linear:400:100:30s", {0: 400, 10: 300, 30: 100}),
        ("exponential:100:6400:60s", {0: 100, 10: 200, 20: 400, 60: 6400, 61: 6400}),
        ("exponential:100:8000:5m", {300: 8000, 150: round(100 * math.sqrt(80))}),
        ("staged:100@30s,1000@60s", {0: 100, 29.9: 100, 30: 1000, 89: 1000, 500: 1000}),
        ("staged:5@500ms,6@1s,7@1s", {0.4: 5, 0.5: 6, 1.4: 6, 1.5: 7, 9: 7}),
    ],
)
def test_growth(growth: str, expected: dict[float, int]) -> None:
    """Lengths follow the time as the text says, and stay at the last one."""
    parsed = parse_growth(growth)
    assert {time: parsed.tokens(time) for time in expected} == expected


def test_prompts_grow() -> None:
    """A generated prompt has as many words as its time says."""
    made = source(growth="linear:10:1000:10s")
    assert [len(text(made, 7, time).split(" ")) for time in (0, 5, 10)] == [10, 505, 1000]


@pytest.mark.parametrize(
    "growth", ["", "linear", "linear:1:2", "linear:1:2:3:4", "linear:a:2:3s", "cubic:1:2:3s", "staged:", "staged:5", "staged:5@x"]
)
def test_no_growth(growth: str) -> None:
    """Bad syntax is one line with the forms there are."""
    with pytest.raises(FastloadError, match="is not a growth of lengths - write linear"):
        parse_growth(growth)


@pytest.mark.parametrize(
    "growth", ["linear:0:5:1s", "linear:5:-5:1s", f"exponential:1:{MAX_TOKENS + 1}:1s", "staged:5@0s", "linear:1:2:-5s"]
)
def test_impossible_growth(growth: str) -> None:
    """Negative or absurd lengths, and times without length, are refused as such."""
    with pytest.raises(FastloadError, match="is out of range") as caught:
        parse_growth(growth)
    assert caught.value.exit_code == ExitCode.USAGE


def test_prefix_groups_and_share() -> None:
    """The share of prompts begins with one of N prefixes, each about equally often; the others all begin differently."""
    made = source(prefix="groups:10,tokens:50,share:0.8", input_tokens="20")
    prompts = [text(made, index).split(" ") for index in range(4000)]
    heads = Counter(" ".join(prompt[:50]) for prompt in prompts)
    shared = [count for count in heads.values() if count > 1]
    assert (len(shared), {len(prompt) for prompt in prompts}) == (10, {70})
    # Six standard errors of a binomial.
    assert abs(sum(shared) - 3200) < 6 * math.sqrt(4000 * 0.8 * 0.2)
    assert max(abs(count - sum(shared) / 10) for count in shared) < 6 * math.sqrt(320)


def test_suffixes_are_limited() -> None:
    """N prefixes with M suffixes give N times M prompts; without a number every prompt is another."""
    made = source(prefix="groups:3,tokens:5,suffixes:4", input_tokens="uniform:5:9")
    assert len({text(made, index) for index in range(2000)}) == 12
    fresh = source(prefix="groups:3,tokens:5", input_tokens="5")
    assert len({text(fresh, index) for index in range(2000)}) == 2000


def test_long_prefix_is_one_object() -> None:
    """All prompts of a group share their prefix in memory."""
    made = source(prefix="groups:1,tokens:5000", input_tokens="5")
    assert made.ask(1, 0.0).fresh[0] is made.ask(2, 0.0).fresh[0]


@pytest.mark.parametrize(
    ("prefix", "complaint"),
    [
        ("groups:10", "has no tokens"),
        ("tokens:10", "has no groups"),
        ("", "describes no shared prefixes"),
        ("groups:1,tokens:5,tokens:6", "describes no shared prefixes"),
        ("groups:1,tokens:5,size:6", "describes no shared prefixes"),
        ("groups:x,tokens:5", "no number"),
        ("groups:0,tokens:5", "out of range"),
        ("groups:1,tokens:-5", "out of range"),
        ("groups:1,tokens:5,share:1.5", "out of range"),
        ("groups:1,tokens:5,share:nan", "out of range"),
        ("groups:1,tokens:5,suffixes:0", "out of range"),
        ("groups:1000000,tokens:1000000", "out of range"),
    ],
)
def test_bad_prefix(prefix: str, complaint: str) -> None:
    """What is wrong with a prefix is one line."""
    with pytest.raises(FastloadError, match=complaint):
        parse_prefix(prefix)


def test_shuffled(tmp_path: Path) -> None:
    """Each pass over a file asks every prompt once, in an order of its own that the seed decides."""
    path = lines(tmp_path / "a.txt", *(f"p{number}" for number in range(50)))
    made = source(file=path, shuffle=True)
    passes = [[text(made, 50 * turn + place) for place in range(50)] for turn in range(3)]
    assert [sorted(one) for one in passes] == [sorted(f"p{number}" for number in range(50))] * 3
    assert len({tuple(one) for one in passes}) == 3
    again, other = source(file=path, shuffle=True), source(file=path, shuffle=True, seed=1)
    assert [text(again, place) for place in range(50)] == passes[0] != [text(other, place) for place in range(50)]


@pytest.mark.parametrize(("once", "total"), [(True, 3), (False, None)])
def test_once(tmp_path: Path, once: bool, total: int | None) -> None:
    """A file that is sent once has as many requests as prompts."""
    assert source(file=lines(tmp_path / "a.txt", "a", "b", "c"), once=once).total == total


def test_unique() -> None:
    """With `unique` each prompt begins with words of its own, and ends with what was asked."""
    made = source(prompt="What is it?", unique=True)
    asked = [text(made, index) for index in range(500)]
    assert {prompt.partition("\n\n")[2] for prompt in asked} == {"What is it?"}
    assert len({prompt.partition("\n\n")[0] for prompt in asked}) == 500
    assert not made.alike


@pytest.mark.parametrize(("least", "most", "kept"), [(None, 2, ["a" * 8]), (3, None, ["b" * 9, "c" * 40]), (3, 9, ["b" * 9])])
def test_length_filters(tmp_path: Path, least: int | None, most: int | None, kept: list[str]) -> None:
    """Only prompts within the limits are sent; without a tokenizer four characters are a token, a part of them one more."""
    path = lines(tmp_path / "a.txt", "a" * 8, "b" * 9, "c" * 40)
    made = source(file=path, min_tokens=least, max_tokens=most, once=True)
    assert [text(made, index) for index in range(made.total or 0)] == kept


def test_nothing_passes_the_filter(tmp_path: Path) -> None:
    """When no prompt passes, the line says how long they are."""
    with pytest.raises(FastloadError, match="has 50 to 60 tokens - its 2 have 1 to 2"):
        source(file=lines(tmp_path / "a.txt", "abc", "abcde"), min_tokens=50, max_tokens=60)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A file that changed between two runs of one process gives its new prompts."""
    path = lines(tmp_path / "a.txt", "old")
    assert text(source(file=path), 0) == "old"
    assert text(source(file=lines(path, "newer")), 0) == "newer"


@given(seed=st.integers(0, 2**64 - 1), index=st.integers(0, 2**40), count=st.integers(100, 3000))
def test_long_words_are_exact_and_repeatable(seed: int, index: int, count: int) -> None:
    """N tokens are N words at any length, and a seed gives the same ones again."""
    made = text(source(seed=3, input_tokens=str(count)), index)
    assert made.count(" ") == count - 1
    assert made == text(source(seed=3, input_tokens=str(count)), index)


@pytest.mark.parametrize(
    ("name", "item", "expected"),
    [
        ("dolly", {"instruction": "i", "context": "c", "response": "r", "category": "x"}, "c\n\ni"),
        ("cnn-dailymail", {"article": "a", "highlights": "h", "id": "1"}, "Summarize the following article:\n\na"),
        ("billsum", {"text": "t", "summary": "s", "title": "x"}, "Summarize this legislative bill:\n\nt"),
        ("infinity-instruct", {"id": 1, "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "q"),
        ("sharegpt", {"id": "1", "conversations": [{"from": "human", "value": "q"}]}, "q"),
        ("mt-bench", {"question_id": 1, "turns": ["one", "two"]}, "one"),
        ("arena-hard", {"uid": "1", "prompt": "p"}, "p"),
        ("vllm-custom", {"prompt": "p", "output_tokens": 5}, "p"),
        ("genai-perf", {"text": "t"}, "t"),
        ("agentic-coding", {"conversation_id": "a", "turn": 1, "role": "user", "content": "c", "system": "s"}, "c"),
    ],
)
def test_data_sets(tmp_path: Path, name: str, item: dict[str, Any], expected: str) -> None:
    """Every data set's items become prompts as its users expect."""
    path = lines(tmp_path / "a.jsonl", json.dumps(item))
    assert [prompt.messages[-1]["content"] for prompt in load_data_set(f"{name}:{path}").prompts] == [expected]


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [
        ("sharegpt", "ShareGPT_V3_filtered_500.json", 500),
        ("arena-hard", "arena_hard_v0.1_question.jsonl", 500),
        ("mt-bench", "mt_bench_question.jsonl", 80),
        ("fastchat", "fastchat_dummy_conversation_sharegpt_format.json", 500),
        ("agentic-coding", "mlcommons_agentic_coding_head.jsonl", 3),
    ],
)
def test_real_data_sets(name: str, file: str, count: int) -> None:
    """The published files give as many prompts as they have entries."""
    if not (SHARED / file).is_file():
        pytest.skip(f"{file} is not here")
    assert len(load_data_set(f"{name}:{SHARED / file}").prompts) == count


def test_code_is_built_in() -> None:
    """The set `code` needs no file."""
    made = source(dataset="code", once=True)
    assert [text(made, index) for index in range(made.total or 0)] == list(CODE_PROMPTS)


def test_a_name_finds_its_file_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name alone means the set's file in the data directory."""
    monkeypatch.setenv("FASTLOAD_DATA_DIR", str(tmp_path))
    path = lines(tmp_path / DATA_SETS["dolly"].file, '{"instruction": "i"}')
    assert (data_directory(), dataset_file("dolly")[1]) == (tmp_path, path)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("shargpt", "no data set 'shargpt' - did you mean sharegpt"),
        ("my/file.jsonl", "--prompts my/file.jsonl"),
        ("dolly", "a run never downloads"),
        ("dolly:", "names no file"),
        ("code:x", "part of fastload"),
        ("dolly:/nowhere/x.jsonl", "cannot read the prompt file /nowhere/x.jsonl"),
    ],
)
def test_bad_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str) -> None:
    """An unknown set, or one whose file is not here, is one line that says what to do."""
    monkeypatch.setenv("FASTLOAD_DATA_DIR", str(tmp_path))
    with pytest.raises(FastloadError) as caught:
        load_data_set(name)
    assert complaint in str(caught.value)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (ExitCode.USAGE, False)


def test_wrong_file_for_a_data_set(tmp_path: Path) -> None:
    """A file that is another data set's is refused by line."""
    path = lines(tmp_path / "a.jsonl", '{"prompt": "p"}')
    with pytest.raises(FastloadError, match=r"a.jsonl:1: no key 'article'"):
        load_data_set(f"cnn:{path}")


def test_names_are_distinct() -> None:
    """No two data sets answer to one name or keep one file."""
    names = [name for one in DATA_SETS.values() for name in (one.name, *one.also)]
    assert len(set(names)) == len(names)
    assert {find_data_set(name).name for name in names} == set(DATA_SETS)
    files = [one.file for one in DATA_SETS.values() if one.file]
    assert len(set(files)) == len(files)

"""Agents' runs keep their recorded order, pauses, branches and joins, whatever the server answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.assemble import build_work
from fastload.workload.work import INDEX_MASK, TURN_SHIFT, Reply, Turn, Workload

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data"
CLAUDE: Final = sorted((DATA / "kv-cache-tester_claude_code").glob("*.json"))
NESTED: Final = DATA / "kv-cache-tester_claude_code" / "trace_0277.json"
MLCOMMONS: Final = DATA / "mlcommons_agentic_coding_head.jsonl"
LMCACHE: Final = DATA / "magagent_2e706747f44d374126a008b5ebed1d37.openai_chat.jsonl"
needs_data = pytest.mark.skipif(not CLAUDE, reason="the recorded runs are not on this machine")
DONE: Final = Reply(completed=True, text=None)


def work(path: Path, load: Mapping[str, Any] | None = None, **trace: Any) -> Workload:
    keys = {"trace": {"file": path, **trace}, "load": dict(load or {})}
    plan = Plan.model_validate({"targets": [{"url": "http://h"}], "model": "m", **keys})
    return build_work(plan, [0], [1.0], [OPENAI_CHAT])


def written(tmp_path: Path, *runs: Any) -> Path:
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(map(json.dumps, runs)))
    return path


def entry(t: float, ids: Sequence[int] = (), **more: Any) -> dict[str, Any]:
    return {"t": t, "type": "n", "in": 64 * len(ids) or 5, "out": 3, "hash_ids": list(ids), "api_time": 1.0, **more}


def run_of(*requests: Any) -> dict[str, Any]:
    return {"block_size": 64, "hash_id_scope": "local", "requests": list(requests)}


def beside(t: float, *requests: Any, **more: Any) -> dict[str, Any]:
    return {"t": t, "type": "subagent", "requests": list(requests), **more}


def number_of(turn: Turn) -> int:
    return turn.request_id >> TURN_SHIFT


def document(turn: Turn) -> dict[str, Any]:
    data = turn.data if isinstance(turn.data, bytes) else b"".join(turn.data)
    found = orjson.loads(data.partition(b"\r\n\r\n")[2])
    assert isinstance(found, dict)
    return found


def played(runs: Workload, index: int, service_s: float = 1.0) -> Iterator[tuple[float, Turn]]:
    """Yield (when it is sent, turn) of a run against a server that needs the same time for everything, in order of sending."""
    waiting = [(turn.delay_ns / 1e9, turn) for turn in runs.opening(index, 0.0)]
    ending: list[tuple[float, Turn]] = []
    while waiting or ending:
        first = min(waiting, key=lambda pair: pair[0], default=(float("inf"), None))
        last = min(ending, key=lambda pair: pair[0], default=(float("inf"), None))
        if first[1] is not None and first[0] <= last[0]:
            waiting.remove((first[0], first[1]))
            ending.append((first[0] + service_s, first[1]))
            yield first[0], first[1]
        elif last[1] is not None:
            ending.remove((last[0], last[1]))
            assert last[1].then is not None
            waiting += [(last[0] + turn.delay_ns / 1e9, turn) for turn in last[1].then(DONE)]


# --- Claude Code's sessions --------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("path", CLAUDE, ids=lambda path: path.stem)
def test_every_request_of_a_real_session_is_sent_once(path: Path) -> None:
    """All requests of a session, its sub-agents' among them, are sent once, with the recorded lengths."""

    def recorded(entries: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int]]:
        for one in entries:
            if one["type"] == "subagent":
                yield from recorded(one["requests"])
            else:
                yield one["in"], one["out"]

    sent = [
        (len(document(turn)["messages"][0]["content"].split()), document(turn)["max_tokens"]) for _, turn in played(work(path), 0)
    ]
    assert sorted(sent) == sorted(recorded(orjson.loads(path.read_bytes())["requests"]))


@needs_data
def test_sub_agents_run_beside_a_real_session() -> None:
    """While its sub-agents run, the main agent goes on: in 0277 at least three requests overlap when each takes 20 s."""
    spans = [(at_s, at_s + 20) for at_s, _ in played(work(NESTED), 0, 20.0)]
    assert max(sum(begin <= at_s < end for begin, end in spans) for at_s, _ in spans) >= 3


def test_branches_and_joins_at_the_recorded_times(tmp_path: Path) -> None:
    """Two sub-agents, one within the other, and a main line that waits: with recorded service times all is as recorded."""
    inner = beside(1.5, entry(0.5), duration_ms=1500)
    outer = beside(2.0, entry(0.0), inner, entry(4.0), duration_ms=7000)
    runs = work(written(tmp_path, run_of(entry(0.0), outer, entry(3.0), entry(12.0))))
    assert [at_s for at_s, _ in played(runs, 0)] == pytest.approx([0.0, 2.0, 3.0, 4.0, 6.0, 12.0])


def test_a_slow_sub_agent_holds_up_who_waited_for_it(tmp_path: Path) -> None:
    """The main agent's last request waits for a sub-agent that takes longer than recorded, and for the recorded pause after it."""
    outer = beside(2.0, entry(0.0), entry(2.0), duration_ms=4000)
    runs = work(written(tmp_path, run_of(entry(0.0), outer, entry(3.0), entry(9.0))))
    sent = [at_s for at_s, _ in played(runs, 0, service_s=10.0)]
    # The first ends at 10; sub-agent at 11 and, a second after its end, at 22 to 32; the last 9 - 5 = 4 s after that.
    assert sent == pytest.approx([0.0, 11.0, 12.0, 22.0, 36.0])


def test_a_failed_request_does_not_end_a_run(tmp_path: Path) -> None:
    """The agent goes on after a failure: what waited for it is sent."""
    (first,) = work(written(tmp_path, run_of(entry(0.0), entry(2.0)))).opening(0, 0.0)
    assert first.then is not None
    assert [turn.delay_ns for turn in first.then(Reply(completed=False, text=None))] == [1_000_000_000]


def test_speed_shortens_pauses(tmp_path: Path) -> None:
    """Ten times as fast: a pause of 9 s is 0.9 s, and runs begin 0.1 s apart."""
    runs = work(written(tmp_path, run_of(entry(0.0), entry(10.0)), run_of(entry(0.0))), speed=10)
    (first,) = runs.opening(0, 0.0)
    assert first.then is not None
    assert [turn.delay_ns for turn in first.then(DONE)] == [900_000_000]
    assert [runs.arrival_ns(index) for index in range(2)] == [0, 100_000_000]


def test_runs_share_nothing_and_requests_of_one_what_was_recorded(tmp_path: Path) -> None:
    """Block ids are numbered anew in each run: within one, equal ids are equal text; the same ids in another are other text."""
    runs = work(written(tmp_path, run_of(entry(0.0, [1, 2]), entry(9.0, [1, 2, 3])), run_of(entry(0.0, [1, 2]))))
    first, second = (document(turn)["messages"][0]["content"].split() for _, turn in played(runs, 0))
    ((_, other),) = played(runs, 1)
    assert first == second[:128]
    assert len(second) == 192
    assert document(other)["messages"][0]["content"].split()[:8] != first[:8]


def test_ids_that_are_no_chain_are_equal_text_anywhere(tmp_path: Path) -> None:
    """Where an id follows different ones, its text is still the same: block 7 after block 1 and after block 6."""
    runs = work(written(tmp_path, run_of(entry(0.0, [1, 7]), entry(9.0, [6, 7]))))
    first, second = (document(turn)["messages"][0]["content"].split() for _, turn in played(runs, 0))
    assert first[64:] == second[64:]
    assert first[:64] != second[:64]


def test_a_part_of_a_run(tmp_path: Path) -> None:
    """--from and --to cut the same part out of every run: what follows nothing in it starts at its own time."""
    outer = beside(2.0, entry(0.0), entry(4.0), duration_ms=6000)
    path = written(tmp_path, run_of(entry(0.0), outer, entry(3.0), entry(12.0)))
    assert [at_s for at_s, _ in played(work(path, **{"from": "1s", "to": "7s"}), 0)] == pytest.approx([0.0, 1.0, 4.0])
    with pytest.raises(FastloadError, match="between --from and --to - the last one is at 12 s"):
        work(path, **{"from": "20s"})


def test_users_carry_out_runs(tmp_path: Path) -> None:
    """With several users, runs have no times of their own: so many of them are under way at once."""
    path = written(tmp_path, run_of(entry(0.0)), run_of(entry(0.0)))
    assert work(path, {"users": 2}).arrival_ns(0) is None


def test_a_run_that_ended_keeps_nothing(tmp_path: Path) -> None:
    """A thousand finished runs leave no object behind that grows with their number."""
    import gc

    runs = work(written(tmp_path, run_of(entry(0.0), entry(2.0))), at_end="loop")
    for _ in played(runs, 0):
        pass
    gc.collect()
    before = len(gc.get_objects())
    for index in range(1, 1001):
        for _ in played(runs, index):
            pass
    gc.collect()
    assert len(gc.get_objects()) - before < 100


# --- conversations with tools, and LMCache -----------------------------------------------------------------------------------


@needs_data
def test_mlcommons_turns_wait_for_their_tools() -> None:
    """Each request of a coding conversation holds all that was said, calls and results, and follows after the tool's time."""
    rows = [orjson.loads(line) for line in MLCOMMONS.read_bytes().splitlines()]
    first = [row for row in rows if row["conversation_id"] == rows[0]["conversation_id"]]
    sent = [turn for _, turn in played(work(MLCOMMONS), 0)]
    assert len(sent) == sum(row["role"] == "assistant" for row in first)
    pauses = [row["delay_seconds"] for row in first if row["role"] == "tool"][: len(sent) - 1]
    assert [turn.delay_ns / 1e9 for turn in sent[1:]] == pytest.approx(pauses)
    last = document(sent[-1])
    assert last["tools"] == first[0]["tools"]
    calls = [call["id"] for message in last["messages"] for call in message.get("tool_calls", ())]
    results = [message["tool_call_id"] for message in last["messages"] if message["role"] == "tool"]
    assert calls == results != []


@needs_data
def test_lmcache_calls_follow_in_order_of_time() -> None:
    """An agent's calls follow one another in order of time, whatever that of the file; those without a prompt are left out."""
    rows = [orjson.loads(line) for line in LMCACHE.read_bytes().splitlines()]
    recorded = [row["input"] for row in sorted(rows, key=lambda row: row["timestamp"]) if row["input"]]
    sent = list(played(work(LMCACHE), 0, service_s=0.0))
    assert [document(turn)["messages"] for _, turn in sent] == [[{"role": "user", "content": text}] for text in recorded]
    kept = sorted(row["timestamp"] for row in rows if row["input"])
    assert [at_s for at_s, _ in sent] == pytest.approx([(at_us - kept[0]) / 1e6 for at_us in kept], abs=1e-3)


def test_lmcache_sessions_begin_at_their_times(tmp_path: Path) -> None:
    """Sessions of one file begin as far apart as recorded."""
    calls = [
        {"timestamp": 1_760_000_000_000_000 + at, "session_id": name, "input": "a", "output": "b" * 9}
        for at, name in ((0, "x"), (2_500_000, "y"))
    ]
    runs = work(written(tmp_path, *calls))
    assert [runs.arrival_ns(index) for index in range(2)] == [0, 2_500_000_000]
    assert document(runs.opening(0, 0.0)[0])["max_tokens"] == 3


# --- what is refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "parts"),
    [
        (run_of(), ["without a request"]),
        ({"hash_id_scope": "local"}, ["no list of requests"]),
        (run_of(entry(0.0), {"t": 1.0, "in": 3}), ["request 2", "missing key out"]),
        (run_of({"in": 3, "out": 3}), ["request 1", "not an object with t"]),
        (run_of(entry(5.0), entry(4.0)), ["request 2", "before that of the request ahead"]),
        (run_of(entry(0.0, api_time=-1)), ["request 1", "api_time is -1"]),
        (run_of(entry(0.0, **{"in": -1})), ["request 1", "in is -1"]),
        (run_of(entry(0.0, hash_ids=["a"])), ["request 1", "hash_ids"]),
        (run_of(beside(0.0, entry(0.0), {"t": 1.0})), ["request 1: request 2", "missing key in"]),
        ({"timestamp": 1760.5, "session_id": "a", "input": "b"}, ["not in microseconds"]),
        ({"timestamp": 1_760_000_000_000_000, "session_id": "a", "input": ""}, ["holds no prompts"]),
    ],
)
def test_malformed(run: dict[str, Any], parts: Sequence[str], tmp_path: Path) -> None:
    """What is wrong with a run is one line that names the file and the request."""
    path = written(tmp_path, run)
    with pytest.raises(FastloadError) as raised:
        work(path)
    line = str(raised.value)
    assert [part for part in (str(path), *parts) if part not in line] == []
    assert "\n" not in line


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """Of several runs, one a line, the line that is not JSON is named."""
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(run_of(entry(0.0))) + "\n{")
    with pytest.raises(FastloadError, match=r"runs.jsonl:2: not JSON"):
        work(path)


@needs_data
def test_times_that_are_not_recorded_cut_nothing() -> None:
    """MLCommons' conversations hold pauses and no times: --to is refused, not ignored."""
    with pytest.raises(FastloadError, match="does not say when"):
        work(MLCOMMONS, to="5s")


def test_ids_tell_run_and_request(tmp_path: Path) -> None:
    """A request's id is its run's index and its own number in it."""
    runs = work(written(tmp_path, run_of(entry(0.0), entry(2.0)), run_of(entry(0.0))))
    told = [(turn.request_id & INDEX_MASK, number_of(turn)) for index in range(2) for _, turn in played(runs, index)]
    assert told == [(0, 0), (0, 1), (1, 0)]

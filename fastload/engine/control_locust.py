"""The endpoints of Locust's web interface that scripts use, answered from a running fastload.

Shapes and names are those of the forks of Locust for LLMs, so that their users' scripts go on working; the definitions are
fastload's. As there, a count or rate of nothing is 0; a latency without data is null. Knows the run through `ControlState` only.

Invariant: nothing here changes what is measured; `/stats/reset` moves the zero of these endpoints alone.
"""

from __future__ import annotations

import csv
import io
from typing import Any, Final

import orjson
from aiohttp import web

from fastload.engine.control_api import STATE, answer
from fastload.engine.control_state import ControlState, Frame, RefusalError

_STATES: Final[dict[str, str]] = {"starting": "ready", "warm-up": "running", "load": "running", "draining": "stopping"}
_FIXED: Final = ("host", "tokenizer", "model", "max_tokens", "prompt_min_tokens", "prompt_max_tokens",
                 "use_random_prompts", "use_single_prompt", "ignore_eos", "openai_api_key")  # fmt: skip
"""Fields of the form that cannot be changed while a run goes on."""


def locust_routes() -> list[web.RouteDef]:
    """Return the routes, under the paths Locust gives them."""
    return [
        web.post("/swarm", _swarm),
        web.get("/stop", _stop),
        web.get("/stats/requests", _stats),
        web.get("/stats/reset", _reset),
        web.get("/stats/requests/csv", _csv),
        web.get("/exceptions", _exceptions),
    ]


async def _swarm(request: web.Request) -> web.Response:
    """Change users and spawn rate; a paused load goes on."""
    state = request.app[STATE]
    form = await _fields(request)
    users = _number(form, "user_count")
    if users is None or users != int(users) or users < 1:
        raise RefusalError(422, "user_count: a whole number of at least 1 is needed")
    spawn_rate = _number(form, "spawn_rate")
    if spawn_rate is not None and spawn_rate <= 0:
        spawn_rate = None  # there it means: all at once
    await state.ask("users", users, spawn_rate=spawn_rate)
    if (await state.newest_frame())["paused"]:
        await state.ask("resume")
    shown = "all at once" if spawn_rate is None else f"{spawn_rate:g}"
    return answer(
        {
            "success": True,
            "message": f"Swarming started with {users:.0f} users, spawn rate: {shown}",
            "host": state.about["targets"][0],
            "ignored": [name for name in _FIXED if form.get(name)],
        }
    )


async def _stop(request: web.Request) -> web.Response:
    await request.app[STATE].ask("stop")
    return answer({"success": True, "message": "Load test stopped"})


async def _stats(request: web.Request) -> web.Response:
    state = request.app[STATE]
    frame = await state.newest_frame()
    done, failed = _since_reset(state, frame)
    rate, fail_rate = frame["requests_per_s"] or 0.0, _fail_rate(state)
    quantiles = {
        "response_time_percentile_0.5": frame.get("e2e_p50_ms"),
        "response_time_percentile_0.95": frame.get("e2e_p95_ms"),
    }
    entry = {
        "name": "Aggregated",
        "safe_name": "Aggregated",
        "method": None,
        "num_requests": done + failed,
        "num_failures": failed,
        "current_rps": rate,
        "total_rps": rate,
        "current_fail_per_sec": fail_rate,
        "total_fail_per_sec": fail_rate,
        "median_response_time": quantiles["response_time_percentile_0.5"],
        **quantiles,
    }
    return answer(
        {
            "state": _STATES[frame["phase"]],
            "user_count": frame["users"],
            "total_rps": rate,
            "total_fail_per_sec": fail_rate,
            "fail_ratio": failed / (done + failed) if done + failed else 0.0,
            "current_response_time_percentiles": quantiles,
            "stats": [entry],
            "errors": [
                {"method": "POST", "name": kind, "error": kind, "occurrences": number} for kind, number in _errors(state, frame)
            ],
            "custom_metrics": _metrics(frame, fail_rate),
            "charts": [],
        }
    )


async def _reset(request: web.Request) -> web.Response:
    request.app[STATE].reset()
    return answer({"success": True})


async def _exceptions(request: web.Request) -> web.Response:
    state = request.app[STATE]
    frame = await state.newest_frame()
    found = [{"count": number, "msg": kind, "traceback": "", "nodes": "local"} for kind, number in _errors(state, frame)]
    return answer({"exceptions": found})


async def _csv(request: web.Request) -> web.Response:
    """Send one row for each second since this process began to watch."""
    state = request.app[STATE]
    await state.newest_frame()
    arguments = orjson.dumps(state.about).decode()
    text = io.StringIO(newline="")
    names = list(_metrics(state.rows[0].frame, 0.0))
    writer = csv.writer(text)
    writer.writerow(["run_number", "timestamp", "args", *names])
    before: Frame | None = None
    for row in state.rows:
        metrics = _metrics(row.frame, _rate_between(before, row.frame))
        writer.writerow(
            [row.run_number, f"{row.at_s:.3f}", arguments, *("" if metrics[name] is None else metrics[name] for name in names)]
        )
        before = row.frame
    return web.Response(
        text=text.getvalue(), content_type="text/csv", headers={"Content-Disposition": "attachment; filename=fastload_history.csv"}
    )


def _metrics(frame: Frame, fail_rate: float) -> dict[str, Any]:
    """Return a frame under the names of the forks' own metrics."""
    e2e = {quantile: frame.get(f"e2e_p{quantile}_ms") for quantile in (50, 99)}
    return {
        "active_users": frame["users"],
        "requests_per_second": frame["requests_per_s"] or 0.0,
        "failed_requests_per_second": fail_rate,
        "total_output_tokens_per_second": frame["tokens_per_s"] or 0.0,
        **{f"response_time_seconds_quantile_{q}": None if value is None else value / 1e3 for q, value in e2e.items()},
        **{f"response_time_first_token_ms_quantile_{q}": frame[f"ttft_p{q}_ms"] for q in (50, 99)},
        **{f"inter_token_latency_ms_quantile_{q}": frame[f"itl_p{q}_ms"] for q in (50, 99)},
    }


def _since_reset(state: ControlState, frame: Frame) -> tuple[int, int]:
    return frame["completed"] - state.baseline["completed"], frame["failed"] - state.baseline["failed"]


def _errors(state: ControlState, frame: Frame) -> list[tuple[str, int]]:
    before = state.baseline["errors"]
    counts = {kind: number - before.get(kind, 0) for kind, number in frame["errors"].items()}
    return sorted((pair for pair in counts.items() if pair[1] > 0), key=lambda pair: (-pair[1], pair[0]))


def _fail_rate(state: ControlState) -> float:
    return _rate_between(state.recent[0], state.recent[-1]) if state.recent else 0.0


def _rate_between(before: Frame | None, frame: Frame) -> float:
    """Return failures per second from one frame to a later one."""
    if before is None:
        return 0.0
    failures: int = frame["failed"] - before["failed"]
    elapsed_s: float = frame["elapsed_s"] - before["elapsed_s"]
    return failures / elapsed_s if elapsed_s > 0 else 0.0


async def _fields(request: web.Request) -> dict[str, Any]:
    """Return a form's fields, or those of a JSON object."""
    if request.content_type == "application/json":
        try:
            data = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise RefusalError(400, f"the body is no JSON: {error}") from None
        if not isinstance(data, dict):
            raise RefusalError(400, "the body is no JSON object")
        return data
    return dict(await request.post())


def _number(form: dict[str, Any], name: str) -> float | None:
    value = form.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise RefusalError(422, f"{name}: {value!r} is no number") from None
    if not abs(number) < 1e7:  # also NaN
        raise RefusalError(422, f"{name}: {value} is out of range")
    return number

"""An ordinary, fair streaming client on aiohttp under uvloop: what most load generators in Python do per chunk.

One keep-alive connection per user, no connection limit, and per chunk: split into lines, `orjson.loads` of every `data:` line,
look for content, stamp with `perf_counter_ns`. It keeps one gap per token, as a measuring client must, and nothing else.
Non-streaming: one request after the other, body read and parsed.

usage: aiohttp_client.py URL USERS SECONDS [--spawn-rate R] [--no-stream]
Prints one JSON object with the same names as `c_loop`, except that `events` counts content events only.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from array import array
from dataclasses import dataclass, field

import aiohttp
import orjson
import uvloop

PROMPT = "Tell me a story about a lighthouse."


@dataclass
class Totals:
    """What all users together received."""

    events: int = 0
    reads: int = 0
    responses: int = 0
    failed: int = 0
    gaps_ns: array[int] = field(default_factory=lambda: array("q"))


async def stream_one(session: aiohttp.ClientSession, url: str, body: bytes, totals: Totals) -> None:
    """Send one request and consume its event stream."""
    last_ns = 0
    async with session.post(url, data=body) as response:
        response.raise_for_status()
        rest = b""
        async for chunk in response.content.iter_any():
            now_ns = time.perf_counter_ns()
            totals.reads += 1
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not line.startswith(b"data: ") or line[6:].strip() == b"[DONE]":
                    continue
                choices = orjson.loads(line[6:]).get("choices")
                if choices and choices[0]["delta"].get("content"):
                    totals.events += 1
                    if last_ns:
                        totals.gaps_ns.append(now_ns - last_ns)
                    last_ns = now_ns
    totals.responses += 1


async def request_one(session: aiohttp.ClientSession, url: str, body: bytes, totals: Totals) -> None:
    """Send one request and read its whole JSON answer."""
    async with session.post(url, data=body) as response:
        response.raise_for_status()
        answer = orjson.loads(await response.read())
        totals.events += bool(answer["choices"])
        totals.reads += 1
    totals.responses += 1


async def user(delay_s: float, session: aiohttp.ClientSession, url: str, stream: bool, totals: Totals) -> None:
    """Send requests one after the other until cancelled."""
    await asyncio.sleep(delay_s)
    message = {"model": "mock", "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}
    if stream:
        message["stream_options"] = {"include_usage": True}
    body = orjson.dumps(message)
    one = stream_one if stream else request_one
    while True:
        await one(session, url, body, totals)


def cpu_s() -> float:
    """User and system time of this process so far, seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def load(base: str, users: int, seconds: float, spawn_rate: float, stream: bool) -> dict[str, object]:
    """Load `base` with `users` for `seconds` and return the totals."""
    totals = Totals()
    url = f"{base}/v1/chat/completions"
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"Content-Type": "application/json"}) as session:
        start, cpu_start_s = time.perf_counter(), cpu_s()
        gap_s = 1 / spawn_rate if spawn_rate else 0.0
        tasks = [asyncio.create_task(user(i * gap_s, session, url, stream, totals)) for i in range(users)]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        used_s, wall_s = cpu_s() - cpu_start_s, time.perf_counter() - start
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, asyncio.CancelledError):
                continue
            raise RuntimeError(f"a user ended early: {outcome!r}")
    return {
        "client": "aiohttp",
        "users": users,
        "events": totals.events,
        "reads": totals.reads,
        "responses": totals.responses,
        "in_flight": users,
        "cpu_s": used_s,
        "wall_s": wall_s,
        "events_per_s": totals.events / wall_s,
        "cpu_us_per_event": used_s * 1e6 / totals.events if totals.events else None,
    }


def main() -> None:
    """Parse the command line, run the load, print the totals."""
    options = argparse.ArgumentParser(description="an ordinary aiohttp client, for comparison")
    options.add_argument("url")
    options.add_argument("users", type=int)
    options.add_argument("seconds", type=float)
    options.add_argument("--spawn-rate", type=float, default=0.0, help="users started per second; 0 = all at once")
    options.add_argument("--no-stream", dest="stream", action="store_false")
    given = options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    totals = uvloop.run(load(given.url, given.users, given.seconds, given.spawn_rate, given.stream))
    print(orjson.dumps(totals).decode())


if __name__ == "__main__":
    main()

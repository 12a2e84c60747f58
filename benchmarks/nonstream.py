"""Claim: without streaming, one core of fastload sends tens of thousands of requests a second against a trivial server.

nginx with one worker on core 0 answers every POST with a fixed chat completion; fastload (one worker), wrk (one thread) and
aiohttp take turns on core 1. `req_per_cpu_s` is requests per second of the client's own CPU, the figure to compare when the
server rather than the client was the limit. Needs nginx; wrk is left out with a note where there is none.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
from harness import BenchmarkError, Row

SETTLE_S = 30.0
REQUEST = json.dumps({"model": "mock", "stream": False, "messages": [{"role": "user", "content": harness.PROMPT}]})
ANSWER = json.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "mock",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Once upon a time."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13},
    }
)
MODELS = json.dumps({"object": "list", "data": [{"id": "mock", "object": "model", "created": 0, "owned_by": "nginx"}]})
CONFIG = """\
daemon off;
master_process off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /v1/models {{ return 200 '{models}'; }}
        location / {{ return 200 '{answer}'; }}
    }}
}}
"""
WRK_SCRIPT = """\
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
"""


def free_port() -> int:
    """Return a loopback port nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def nginx() -> Iterator[str]:
    """Run nginx on the server's core for the length of the block and yield its base URL."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise BenchmarkError("needs nginx (Debian: apt-get install nginx-light, Fedora: dnf install nginx, Alpine: apk add nginx)")
    with tempfile.TemporaryDirectory() as scratch:
        port = free_port()
        config = Path(scratch) / "nginx.conf"
        config.write_text(CONFIG.format(dir=scratch, port=port, models=MODELS, answer=ANSWER))
        Path(scratch).chmod(0o755)
        command = [binary, "-c", str(config), "-p", scratch, "-e", "stderr"]
        process = subprocess.Popen(harness.pinned(harness.SERVER_CPU, command), stderr=subprocess.PIPE, text=True)
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchmarkError(f"nginx ended at once: {(process.communicate()[1] or '').strip()[-400:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise BenchmarkError("nginx did not listen within 10 s")


def fastload_turn(url: str, users: int, seconds: float) -> Row:
    """Run fastload, one worker, no streaming."""
    summary = harness.run_fastload(
        *("--host", url, "--model", "mock", "--no-stream", "--users", str(users), "--prompt", harness.PROMPT),
        *("--duration", f"{seconds}s", "--warmup", "0s", "--drain", "5s"),
        limit_s=seconds + SETTLE_S,
    )
    worker, requests = summary["generator"]["workers"][0], summary["requests"]
    failed = requests["failed"]
    return {"requests": requests["completed"], "failed": failed, "cpu_s": worker["cpu_s"], "wall_s": summary["run"]["total_s"]}


def aiohttp_turn(url: str, users: int, seconds: float) -> Row:
    """Run the aiohttp client of this directory."""
    script = Path(__file__).with_name("aiohttp_client.py")
    said = harness.run_json([sys.executable, str(script), url, str(users), str(seconds), "--no-stream"], seconds + SETTLE_S)
    return {"requests": said["responses"], "failed": 0, "cpu_s": said["cpu_s"], "wall_s": said["wall_s"]}


def wrk_turn(url: str, users: int, seconds: float) -> Row:
    """Run wrk with one thread; its CPU is what the kernel accounted to it as our ended child."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT.format(body=REQUEST))
        script.flush()
        command = ["wrk", "-t1", f"-c{users}", f"-d{max(1, round(seconds))}s", "-s", script.name, url]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        limit_s = seconds + SETTLE_S
        done = subprocess.run(
            harness.pinned(harness.CLIENT_CPU, command), capture_output=True, text=True, timeout=limit_s, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)\b", done.stdout)
    if done.returncode != 0 or total is None:
        raise BenchmarkError(f"wrk exit {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    return {
        "requests": int(total.group(1)),
        "failed": int(bad.group(1)) if bad else 0,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall_s": float(total.group(2)) * {"ms": 1e-3, "s": 1.0, "m": 60.0}[total.group(3)],
    }


def main() -> None:
    """Give every client its turns, interleaved, and print medians."""
    options = harness.parser(__doc__ or "", rounds=3, seconds=5.0)
    options.add_argument("--users", type=int, default=64, help="connections (default %(default)s)")
    given = options.parse_args()
    harness.need_cpus(2)
    clients: dict[str, Callable[[str, int, float], Row]] = {"fastload": fastload_turn, "wrk": wrk_turn, "aiohttp": aiohttp_turn}
    if shutil.which("wrk") is None:
        print("wrk is not installed: left out of the table", file=sys.stderr)
        del clients["wrk"]
    turns: list[Row] = []
    with nginx() as url:
        for number in range(given.rounds):
            for name, client in clients.items():
                row = client(url, given.users, given.seconds)
                row["req_per_s"] = harness.ratio(row["requests"], row["wall_s"])
                row["req_per_cpu_s"] = harness.ratio(row["requests"], row["cpu_s"])
                turns.append(row | {"client": name, "round": number})
    columns = ["client", "req_per_s", "req_per_cpu_s", "requests", "failed", "cpu_s", "wall_s"]
    rows = [
        {"client": name} | {key: harness.median([turn[key] for turn in turns if turn["client"] == name]) for key in columns[1:]}
        for name in clients
    ]
    title = f"requests, no streaming, {given.users} connections, one client core, median of {given.rounds}"
    harness.print_table(title, rows, columns)
    if given.record:
        harness.record("nonstream", harness.machine() | {"users": given.users, "seconds": given.seconds}, turns)
    if any(turn["failed"] for turn in turns):
        raise BenchmarkError("a client saw failed requests: its figure is not of the same work")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nonstream: {error}")

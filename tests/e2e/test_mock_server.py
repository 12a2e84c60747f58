"""The mock server as a process, seen by raw sockets: what it sends, what it counts, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trustme

PATIENCE_S = 20
CHAT = {"messages": [{"role": "user", "content": "say something nice"}]}


@dataclass
class Server:
    """A running mock."""

    process: subprocess.Popen[str]
    line: str

    @property
    def port(self) -> int:
        return int(self.line.rsplit(":", 1)[1])

    def stop(self, number: int = signal.SIGTERM) -> dict[str, Any]:
        """End it and return its truth."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert (self.process.returncode, err) == (0, "")
        truth = json.loads(out.splitlines()[-1])
        assert isinstance(truth, dict)
        return truth


@contextmanager
def mock(*flags: str) -> Iterator[Server]:
    arguments = [sys.executable, "-m", "fastload", "mock", "--port", "0", *flags]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process, process.stdout.readline().strip())
        finally:
            if process.poll() is None:
                process.kill()


def request(body: dict[str, Any], *, path: str = "/v1/chat/completions", extra: str = "") -> bytes:
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(data)}\r\n\r\n".encode() + data


STREAM = request({**CHAT, "stream": True, "stream_options": {"include_usage": True}})


def dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def read_stream(sock: socket.socket) -> list[bytes]:
    """Read one chunked response and return its chunks; of a connection that ends early what came, without the empty last one."""
    file = sock.makefile("rb")
    try:
        assert file.readline().startswith(b"HTTP/1.1 200")
        while file.readline() not in (b"\r\n", b""):
            pass
        chunks: list[bytes] = []
        while size := file.readline():
            n = int(size, 16)
            chunks.append(file.read(n + 2)[:-2])
            if n == 0:
                break
    except ConnectionResetError:
        pass
    finally:
        file.close()
    return chunks


def contents(chunks: list[bytes]) -> list[dict[str, Any]]:
    """Return the content events among the chunks."""
    events = [json.loads(chunk.removeprefix(b"data: ")) for chunk in chunks if chunk and chunk != b"data: [DONE]\n\n"]
    return [event for event in events if event["choices"] and event["choices"][0]["delta"].get("content")]


def get(server: Server, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_stream_from_first_to_last_event() -> None:
    """Role, one event per token and chunk, finish_reason, usage, [DONE]; the truth counts what the client saw."""
    with mock("--ttft", "30ms", "--itl", "2ms", "--tokens", "70") as server:
        with dial(server) as sock:
            for _ in range(2):
                sock.sendall(STREAM)
                chunks = read_stream(sock)
                assert b'"role":"assistant"' in chunks[0]
                assert len(contents(chunks[1:-4])) == len(chunks[1:-4]) == 70
                assert b'"finish_reason":"stop"' in chunks[-4]
                assert json.loads(chunks[-3][6:])["usage"] == {"prompt_tokens": 3, "completion_tokens": 70, "total_tokens": 73}
                assert chunks[-2:] == [b"data: [DONE]\n\n", b""]
        truth = server.stop()
    assert (truth["requests"], truth["completed"], truth["in_flight"], truth["tokens"]) == (2, 2, 0, 140)
    assert (truth["output_tokens"], truth["prompt_tokens"], truth["connections"], truth["peak_streams"]) == (140, 6, 1, 1)
    assert (truth["ttft_ms"]["count"], truth["itl_ms"]["count"]) == (2, 138)
    assert truth["errors"] == {"http_500": 0, "aborted": 0, "truncated": 0, "client_gone": 0}


@pytest.mark.timing
def test_truth_is_near_what_was_asked() -> None:
    """TTFT and ITL are what the flags say, the client's clock agrees, and each token leaves by itself."""
    with mock("--ttft", "60ms", "--itl", "10ms", "--tokens", "30", "--send-clock") as server:
        with dial(server) as sock:
            begin_ns = time.monotonic_ns()
            sock.sendall(STREAM)
            clocks = [int(event["system_fingerprint"]) for event in contents(read_stream(sock))]
        truth = server.stop()
    assert clocks == sorted(clocks)
    assert len(set(clocks)) == 30
    assert 60e6 <= clocks[0] - begin_ns <= 160e6
    assert truth["ttft_ms"]["max"] == pytest.approx((clocks[0] - begin_ns) / 1e6, abs=20)
    assert truth["ttft_ms"]["p50"] >= 60
    assert truth["itl_ms"]["mean"] == pytest.approx((clocks[-1] - clocks[0]) / 29 / 1e6, abs=0.001)
    assert truth["itl_ms"]["p50"] == pytest.approx(10, abs=2)


def test_jitter_is_seeded_and_has_its_width() -> None:
    """Gaps vary by the asked deviation around the asked mean."""
    with (
        mock("--ttft", "1ms", "--itl", "4ms", "--jitter", "0.25", "--tokens", "400", "--send-clock") as server,
        dial(server) as sock,
    ):
        sock.sendall(STREAM)
        clocks = [int(event["system_fingerprint"]) for event in contents(read_stream(sock))]
    gaps = [(b - a) / 1e6 for a, b in pairwise(clocks)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(4, abs=0.4)
    assert (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 > 0.6


def test_whole_answer_and_other_routes() -> None:
    """Non-streaming answers, models, health and errors, on kept connections."""
    with mock("--ttft", "0ms", "--itl", "0ms", "--tokens", "8") as server:
        status, body = get(server, "POST", "/v1/chat/completions", json.dumps({**CHAT, "max_tokens": 3}).encode())
        assert (status, body["usage"]["completion_tokens"], body["choices"][0]["finish_reason"]) == (200, 3, "length")
        assert get(server, "GET", "/v1/models")[1]["data"][0]["id"] == "mock"
        assert get(server, "GET", "/health") == (200, {})
        assert get(server, "POST", "/v1/chat/completions", b"{")[0] == 400
        assert get(server, "GET", "/v1/chat/completions")[0] == 405
        assert get(server, "GET", "/v2")[0] == 404
        assert get(server, "GET", "/truth")[1]["completed"] == 1
        assert get(server, "POST", "/truth/reset")[0] == 200
        assert get(server, "GET", "/truth")[1]["requests"] == 0
        assert server.stop(signal.SIGINT)["output_tokens"] == 0


def test_whole_answer_waits_as_long_as_a_stream() -> None:
    """A non-streaming answer comes after ttft + itl * (tokens - 1)."""
    with mock("--ttft", "50ms", "--itl", "10ms", "--tokens", "11") as server:
        begin = time.monotonic()
        assert get(server, "POST", "/v1/chat/completions", json.dumps(CHAT).encode())[0] == 200
        assert 0.15 <= time.monotonic() - begin < 2


def test_pipelining_and_byte_by_byte() -> None:
    """Requests sent at once are answered in order, and one sent byte by byte is answered too."""
    with mock("--ttft", "1ms", "--itl", "0ms", "--tokens", "4") as server, dial(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        models = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
        sock.sendall(STREAM + models + STREAM.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        assert [data.count(text) for text in (b"HTTP/1.1 200", b"[DONE]", b'"object":"list"')] == [3, 2, 1]
        assert data.index(b"[DONE]") < data.index(b'"object":"list"') < data.rindex(b"[DONE]")
        with dial(server) as slow:
            for byte in STREAM:
                slow.sendall(bytes([byte]))
            assert len(contents(read_stream(slow))) == 4


def test_expect_continue() -> None:
    """A client that waits for 100 Continue gets it before it sends the body."""
    with mock("--ttft", "0ms", "--tokens", "1") as server, dial(server) as sock:
        head, body = request(CHAT, extra="Expect: 100-continue\r\n").split(b"\r\n\r\n", 1)
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_coalesce_sends_several_chunks_at_once() -> None:
    """With --coalesce 5 five events share a write and its clock; the truth has one gap per write."""
    with mock("--ttft", "1ms", "--itl", "1ms", "--tokens", "52", "--coalesce", "5", "--send-clock") as server:
        with dial(server) as sock:
            sock.sendall(STREAM)
            events = contents(read_stream(sock))
        truth = server.stop()
    clocks = [event["system_fingerprint"] for event in events]
    assert [len(set(clocks[i : i + 5])) for i in range(0, 52, 5)] == [1] * 11
    assert len(set(clocks)) == 11
    assert (truth["tokens"], truth["itl_ms"]["count"]) == (52, 10)


def test_close_after() -> None:
    """The connection ends after the asked number of answers, which did not announce it."""
    with mock("--ttft", "0ms", "--itl", "0ms", "--tokens", "2", "--close-after", "2") as server, dial(server) as sock:
        sock.sendall(STREAM)
        assert read_stream(sock)[-1] == b""
        sock.sendall(STREAM)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        assert data.endswith(b"\r\n0\r\n\r\n")
        assert b"connection" not in data.split(b"\r\n\r\n", 1)[0].lower()


def test_faults() -> None:
    """Errors, aborts and truncations have their shares, look as they should, and are counted by kind."""
    with mock(
        "--ttft", "0ms", "--itl", "0ms", "--tokens", "20", "--error-rate", "0.2", "--abort-rate", "0.25", "--truncate-rate", "0.25"
    ) as server:
        seen = {"http_500": 0, "aborted": 0, "truncated": 0, "completed": 0}
        tokens = 0
        for _ in range(40):
            with dial(server) as sock:
                sock.sendall(STREAM)
                first = sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
                if first == b"HTTP/1.1 500":
                    seen["http_500"] += 1
                    continue
                chunks = read_stream(sock)
            tokens += len(contents(chunks))
            kind = "aborted" if chunks[-1] != b"" else "completed" if b"data: [DONE]\n\n" in chunks else "truncated"
            assert (b'"finish_reason":"stop"' in b"".join(chunks)) == (kind == "completed")
            assert (len(contents(chunks)) == 20) == (kind == "completed")
            seen[kind] += 1
        truth = server.stop()
    assert seen == {"http_500": 8, "aborted": 8, "truncated": 8, "completed": 16}
    assert {**truth["errors"], "completed": truth["completed"]} == {**seen, "client_gone": 0}
    assert truth["tokens"] == tokens


def test_stall_stops_all_sending() -> None:
    """During a stall nothing is sent, afterwards everything that was due is."""
    with (
        mock("--ttft", "1ms", "--itl", "5ms", "--tokens", "200", "--stall", "600ms:300ms", "--send-clock") as server,
        dial(server) as sock,
    ):
        sock.sendall(STREAM)
        clocks = [int(event["system_fingerprint"]) for event in contents(read_stream(sock))]
    gaps_ms = [(b - a) / 1e6 for a, b in pairwise(clocks)]
    assert len(clocks) == 200
    assert 250 <= max(gaps_ms) < 600
    assert (clocks[-1] - clocks[0]) / 1e6 < 1600


def test_slow_reader_blocks_nobody() -> None:
    """A client that does not read keeps only its own stream waiting, and gets all of it in the end."""
    with mock("--ttft", "0ms", "--itl", "0ms", "--tokens", "3000", "--event-bytes", "4000") as server:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.settimeout(PATIENCE_S)
            lazy.connect(("127.0.0.1", server.port))
            lazy.sendall(STREAM)
            for _ in range(3):
                with dial(server) as sock:
                    sock.sendall(request({**CHAT, "stream": True, "max_tokens": 9}))
                    assert len(contents(read_stream(sock))) == 9
            assert get(server, "GET", "/truth")[1]["in_flight"] >= 1
            assert len(contents(read_stream(lazy))) == 3000
        server.stop()


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_vanishing_clients_leave_nothing() -> None:
    """100 clients that leave in the middle of their streams are counted, and every descriptor is given back."""
    with mock("--ttft", "1ms", "--itl", "20ms", "--tokens", "1000") as server:
        before = open_files(server.process.pid)
        with ExitStack() as stack:
            clients = [stack.enter_context(dial(server)) for _ in range(100)]
            for client in clients:
                client.sendall(STREAM)
            for client in clients:
                assert client.recv(12) == b"HTTP/1.1 200"
            assert open_files(server.process.pid) >= before + 100
        deadline = time.monotonic() + PATIENCE_S
        while open_files(server.process.pid) > before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert open_files(server.process.pid) == before
        truth = server.stop()
    assert (truth["requests"], truth["completed"], truth["errors"]["client_gone"], truth["peak_streams"]) == (100, 0, 100, 100)


def test_workers_are_summed(tmp_path: Path) -> None:
    """Two workers share a port and their truths are added up; the line also goes to a file."""
    file = tmp_path / "truth.json"
    with mock("--ttft", "1ms", "--itl", "1ms", "--tokens", "5", "--workers", "2", "--truth", str(file)) as server:
        for _ in range(12):
            with dial(server) as sock:
                sock.sendall(STREAM)
                assert len(contents(read_stream(sock))) == 5
        truth = server.stop()
    assert (truth["requests"], truth["completed"], truth["tokens"], truth["connections"]) == (12, 12, 60, 12)
    assert (truth["ttft_ms"]["count"], truth["itl_ms"]["count"]) == (12, 48)
    assert json.loads(file.read_text()) == truth


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_workers_die_with_their_parent() -> None:
    """When the parent is killed, its workers leave."""
    with mock("--workers", "2") as server:
        workers = children(server.process.pid)
        assert len(workers) == 2
        server.process.kill()
        server.process.wait(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not [pid for pid in workers if Path(f"/proc/{pid}/exe").exists()]


def test_dead_worker_is_told() -> None:
    """A worker that is killed ends the server with what the other one knows, one line on stderr, and exit code 3."""
    with mock("--workers", "2") as server:
        os.kill(children(server.process.pid)[0], signal.SIGKILL)
        out, err = server.process.communicate(timeout=PATIENCE_S)
    assert server.process.returncode == 3
    assert "died: signal 9" in err
    assert len(err.splitlines()) == 1
    assert json.loads(out.splitlines()[-1])["requests"] == 0


def test_duration_and_unix_socket(tmp_path: Path) -> None:
    """It stops by itself, and leaves no socket file behind."""
    path = tmp_path / "mock.sock"
    with mock("--unix-socket", str(path), "--ttft", "1ms", "--itl", "0ms", "--tokens", "3", "--duration", "700ms") as server:
        assert server.line == f"listening on unix:{path}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(path))
            sock.sendall(STREAM)
            assert len(contents(read_stream(sock))) == 3
        truth = server.finish()
    assert truth["completed"] == 1
    assert not path.exists()


def test_tls(tmp_path: Path) -> None:
    """Over TLS the same events come, in the same framing; a client that speaks no TLS disturbs nobody."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with mock("--ttft", "5ms", "--itl", "1ms", "--tokens", "20", "--tls", str(certificate), str(key)) as server:
        with context.wrap_socket(dial(server), server_hostname="localhost") as sock:
            with dial(server) as plain:
                plain.sendall(STREAM)
                assert not plain.recv(100).startswith(b"HTTP")
            for _ in range(2):
                sock.sendall(STREAM)
                assert len(contents(read_stream(sock))) == 20
        truth = server.stop()
    assert (truth["completed"], truth["tokens"], truth["connections"]) == (2, 40, 1)


def test_many_streams_at_once() -> None:
    """300 streams at once: every client gets every token."""
    with mock("--ttft", "20ms", "--itl", "5ms", "--tokens", "20") as server:
        found: list[int] = []

        def client() -> None:
            with dial(server) as sock:
                sock.sendall(STREAM)
                found.append(len(contents(read_stream(sock))))

        threads = [threading.Thread(target=client) for _ in range(300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        truth = server.stop()
    assert found == [20] * 300
    assert (truth["completed"], truth["tokens"]) == (300, 6000)


@pytest.mark.parametrize(
    "flags", [["--ttft", "soon"], ["--tokens", "0"], ["--stall", "10s"], ["--cpus", "9-1"], ["--tls", "/no", "/no"]]
)
def test_bad_flags(flags: list[str]) -> None:
    """A wrong value is one line and exit code 2, before anything is served."""
    done = subprocess.run(
        [sys.executable, "-m", "fastload", "mock", "--port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_port_taken() -> None:
    """A port that is taken is said in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = [sys.executable, "-m", "fastload", "mock", "--port", port]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr

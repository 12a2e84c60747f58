"""A mock with slots serves so many requests at once: its capacity is slots / service time."""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection
from typing import Final

from tests.support.process import mock

BODY: Final = b'{"messages":[{"role":"user","content":"a"}],"stream":true}'


def ask(port: int, waits_s: list[float]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    begun_s = time.monotonic()
    connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
    response = connection.getresponse()
    while line := response.readline():
        if b'"content":"' in line and b'"content":""' not in line:
            waits_s.append(time.monotonic() - begun_s)
            break
    response.read()
    connection.close()


def test_requests_beyond_the_slots_wait_their_turn() -> None:
    """Six requests at a server of two slots and 0.2 s of service get their first tokens in three waves, 0.2 s apart."""
    with mock("--slots", "2", "--ttft", "100ms", "--itl", "10ms", "--tokens", "11") as server:
        waits_s: list[float] = []
        threads = [threading.Thread(target=ask, args=(server.port, waits_s)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        truth = server.settled()

    waves = [round((wait_s - 0.1) / 0.2) for wait_s in sorted(waits_s)]
    assert waves == [0, 0, 1, 1, 2, 2]
    assert truth["completed"] == 6
    assert truth["peak_streams"] == 2

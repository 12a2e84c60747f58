"""A server of the standard library in a thread of the test, for clients that block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer


class _Server(ThreadingTCPServer):
    daemon_threads = False
    block_on_close = True


@contextmanager
def serving(handler: type[BaseRequestHandler]) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1 and yield it; no thread is left when the block ends."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()

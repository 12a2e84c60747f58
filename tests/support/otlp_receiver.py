"""An OTLP/HTTP receiver for metrics, which decodes what comes with the protobuf classes OpenTelemetry publishes.

Knows nothing of fastload. Invariant: the server is gone after the block.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric


@dataclass
class Receiver:
    """What came."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)

    def resource(self) -> dict[str, Any]:
        """Return the attributes of the resource that came last."""
        (resource,) = self.requests[-1].resource_metrics
        return attributes(resource.resource.attributes)

    def metrics(self, number: int = -1) -> dict[str, Metric]:
        """Return the metrics of a request by name, the last one's unless told."""
        (resource,) = self.requests[number].resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}


def attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes as a dictionary."""

    def value(pair: KeyValue) -> Any:
        kind = pair.value.WhichOneof("value")
        return getattr(pair.value, kind) if kind else None

    return {pair.key: value(pair) for pair in pairs}


@contextmanager
def receiver(status: int = 200) -> Iterator[Receiver]:
    """Serve until the block ends."""
    came = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.paths.append(self.path)
            came.headers.append({name.lower(): text for name, text in self.headers.items()})
            if status == 200:
                came.requests.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        came.url = f"http://127.0.0.1:{serving.server_port}"
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield came
        finally:
            serving.shutdown()
            thread.join()

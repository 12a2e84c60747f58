"""Serve a GGUF model with llama.cpp's HTTP server until SIGTERM.

usage: python serve_llama.py MODEL PORT [--embeddings] (in an environment with `xllamacpp`). One thread: on a busy box more of them
spin on each other.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main(model: str, port: str, *flags: str) -> None:
    """Serve."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"] if isinstance(params.hostnames, list) else "127.0.0.1"
    params.port = int(port)
    params.n_ctx = 8192
    params.n_parallel = 4
    params.cpuparams.n_threads = 1
    params.endpoint_metrics = True
    params.endpoint_props = True
    if "--embeddings" in flags:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_batch = params.n_ubatch = 2048
    server = xllamacpp.Server(params)
    print("listening", server.listening_address, flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    main(*sys.argv[1:])

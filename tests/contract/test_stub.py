"""The types that mypy believes are those of the compiled module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_stub_matches_the_module(tmp_path: Path) -> None:
    """mypy.stubtest finds no difference between `_native.pyi` and the module: names, signatures, constants."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "fastload._native", "--concise"],
        cwd=root, env=os.environ | {"MYPY_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")

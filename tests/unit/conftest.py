"""What several unit tests share: the statistics kernels, as numba compiles them and as a release links them."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from fastload.stats.compiled import Kernels
from tests.support.linked_kernels import linked_kernels


@pytest.fixture(scope="session", params=["just in time", "ahead of time"])
def kernels(request: pytest.FixtureRequest) -> Future[Kernels]:
    """Return the kernels of either kind; every test that takes them runs over both."""
    future: Future[Kernels] = Future()
    future.set_result(Kernels.compile() if request.param == "just in time" else Kernels.linked(linked_kernels()))
    return future

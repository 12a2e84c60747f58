"""Options, skips and the leak check of the whole suite; the markers are declared in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import leaks

# Time is no fact of a unit test: on a busy box an example takes as long as it takes.
settings.register_profile("fastload", deadline=None)
settings.load_profile("fastload")

# As the command does: numpy's linear algebra in threads is no faster here, and many times slower on a busy box.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--real`."""
    parser.addoption("--real", action="store_true", help="also run tests marked `real`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for or is not allowed, with the reason; repeat what a busy box alone has spoilt."""
    real, root = config.getoption("--real"), os.geteuid() == 0
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=["BusyError: "]))
        if item.get_closest_marker("real") and not real:
            item.add_marker(pytest.mark.skip(reason="real servers: run with --real"))
        if item.get_closest_marker("root") and not root:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    """Fail a test that leaves descriptors or child processes behind in the test process.

    It is set up after fixtures of wider scope and torn down after the test's own, so it sees exactly what one test did.
    """
    before = leaks.holdings()
    yield
    left = leaks.check(before)
    if left:
        pytest.fail("the test leaked " + "; ".join(left), pytrace=False)

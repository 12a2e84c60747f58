"""Who does what: the exact share of each worker in the users and in the requests of a run.

Striped, so that users spawned one after another land on different workers. Invariant: the shares of all workers are disjoint,
their union is the whole, and their sizes differ by at most one.
"""

from __future__ import annotations


def striped(total: int, workers: int, worker: int) -> range:
    """Return the indices of 0..total-1 that belong to `worker`: every `workers`-th, starting at its own number."""
    if total < 0 or workers < 1 or not 0 <= worker < workers:
        raise ValueError(f"no share for worker {worker} of {workers} in {total}")
    return range(worker, total, workers)


def useful_workers(workers: int, users: int | None, requests: int | None) -> int:
    """Return how many of `workers` can have both a user (None = any number) and, where requests are counted, a request.

    More would hold a share of the requests with nobody to send it, and the run would fall short of its total.
    """
    return max(1, min(limit for limit in (workers, users, requests) if limit is not None))

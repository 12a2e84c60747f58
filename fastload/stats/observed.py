"""Joins what was seen beside a run to the run: each server's account with the records of its target, the machine with the window.

Pure. Invariant: a target nobody scraped is absent.
"""

from __future__ import annotations

from fastload.stats.aside_facts import AsideFacts, Window
from fastload.stats.clientside import ClientSide, client_side
from fastload.stats.collector import Collector
from fastload.stats.facts import RunFacts
from fastload.stats.serverside import ServerSide, server_side


def observed(
    found: AsideFacts | None, facts: RunFacts, collector: Collector
) -> tuple[dict[str, ServerSide] | None, ClientSide | None]:
    """Return the servers' accounts by target, and the machine's; None where there is nothing. The collector must be finished."""
    if found is None:
        return None, None
    window = Window(facts.window_start_ns, facts.window_end_ns, facts.epoch_ns)
    records = collector.records()
    servers = {}
    for index, target in enumerate(facts.plan.targets):
        scrapes = [scrape for scrape in found.scrapes if scrape.target == target.name]
        _, moments = collector.gaps(index)
        itl = None if moments is None else (moments.count, moments.mean / 1e6)
        account = server_side(scrapes, window, records[records["endpoint"] == index], itl)
        if account is not None:
            servers[target.name] = account
    return servers or None, client_side(found.samples, window, found.tcp)

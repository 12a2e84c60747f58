"""The limit on prefills lets so many in, in the order they came."""

from __future__ import annotations

from fastload.engine.crew import PrefillGate


def test_places_and_queue() -> None:
    """Two places: the third waits, and enters when one leaves."""
    gate, admitted = PrefillGate(2), []

    entered = [gate.enter(lambda who=who: admitted.append(who)) for who in range(4)]  # type: ignore[misc]
    gate.leave()
    gate.leave()
    gate.leave()

    assert (entered, admitted) == ([True, True, False, False], [2, 3])
    assert gate.enter(lambda: None)


def test_the_end_admits_everyone() -> None:
    """When the load stops, all who wait are woken, and leave without more being let in than there are places."""
    gate, admitted = PrefillGate(1), []
    gate.enter(lambda: None)
    for who in range(3):
        gate.enter(lambda who=who: (admitted.append(who), gate.leave()))  # type: ignore[misc]

    gate.empty()

    assert admitted == [0, 1, 2]
    gate.leave()
    assert gate.enter(lambda: None)
    assert not gate.enter(lambda: None)

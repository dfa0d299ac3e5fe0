"""The states of an alert: once raised, once cleared, and neither without data."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gamestream_dagster.alerts.machine import PAUSE_SECONDS, AlertState, Standing, step
from gamestream_dagster.alerts.store import Change

OK, PENDING, FIRING, RESOLVED, NO_DATA = AlertState


def run(holds: str, lasts: float = 0, every: float = 60) -> list[tuple[AlertState, Change | None]]:
    """Steps by letters: y holds, n does not, - no data."""
    standing, found = Standing(), []
    for index, letter in enumerate(holds):
        standing, change = step(standing, {"y": True, "n": False, "-": None}[letter], index * every, lasts)
        found.append((standing.state, change))
    return found


def test_it_fires_once_holds_and_resolves_once() -> None:
    assert run("nyyyynn", lasts=120) == [
        (OK, None),
        (PENDING, None),
        (PENDING, None),
        (FIRING, Change.RAISED),
        (FIRING, None),
        (RESOLVED, Change.CLEARED),
        (RESOLVED, None),
    ]


def test_no_data_neither_fires_nor_resolves_and_is_told_once() -> None:
    assert run("--") == [(NO_DATA, None), (NO_DATA, None)]
    assert run("y--y-n") == [
        (FIRING, Change.RAISED),
        (NO_DATA, Change.BLIND),
        (NO_DATA, None),
        (FIRING, None),
        (NO_DATA, None),
        (RESOLVED, Change.CLEARED),
    ]


def test_no_data_breaks_pending() -> None:
    assert [state for state, _ in run("y-yyy", lasts=120)] == [PENDING, NO_DATA, PENDING, PENDING, FIRING]


def test_a_long_pause_breaks_pending_and_not_a_firing_alert() -> None:
    pending, _ = step(Standing(), True, 0, 120)
    assert step(pending, True, PAUSE_SECONDS, 120)[1] is Change.RAISED
    again, change = step(pending, True, PAUSE_SECONDS + 1, 120)
    assert (again.state, change, again.pending_since) == (PENDING, None, PAUSE_SECONDS + 1)
    firing, _ = step(Standing(), True, 0, 0)
    later, change = step(firing, True, 86_400, 0)
    assert (later.state, change, later.since) == (FIRING, None, 0)


def test_a_clock_that_goes_back_fires_nothing_early() -> None:
    pending, _ = step(Standing(), True, 1000, 120)
    assert step(pending, True, 900, 120)[1] is None


@given(st.text("yn-", max_size=60), st.sampled_from([0.0, 60.0, 300.0]))
def test_raised_and_cleared_take_turns(holds: str, lasts: float) -> None:
    changes = [change for _, change in run(holds, lasts)]
    turns = [change for change in changes if change in {Change.RAISED, Change.CLEARED}]
    assert turns == [Change.RAISED, Change.CLEARED] * (len(turns) // 2) + [Change.RAISED] * (len(turns) % 2)
    # one message at most about missing data between a raise and its end
    open_, told = False, 0
    for change in changes:
        if change is Change.BLIND:
            assert open_
            told += 1
            assert told == 1
        elif change is not None:
            open_, told = change is Change.RAISED, 0
    assert not any(
        change for letter, change in zip(holds, changes, strict=True) if letter == "-" and change is not Change.BLIND
    )

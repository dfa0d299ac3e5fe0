"""The proof of the ranks: which totals some cut in the bracket gives, and which none gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.serving_api.ranks import verify
from gamestream_dagster.serving_api.ranks.store import RankStore, SetState

SQL = (Path(verify.__file__).parent / "sql" / "differing.sql").read_text(encoding="utf-8")
LOW = 10

# player, partition, offset, score: `a` has 5 before the low cut, then 2 and 4; `b` is new; `c` rests; `d` is in two
EVENTS = [
    ("a", 0, 1, 5), ("a", 0, 11, 2), ("a", 0, 12, 4),
    ("b", 0, 13, 3), ("b", 0, 14, 3),
    ("c", 1, 2, 9),
    ("d", 0, 3, 1), ("d", 0, 15, 1), ("d", 1, 16, 10),
    ("z", 0, 4, 0),
]  # fmt: skip
SHOWN = {"a": 11, "b": 6, "c": 9, "d": 12, "z": 0}


def differing(shown: dict[str, int | None], events: list[Any] = EVENTS) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        database.execute(
            'CREATE TABLE events (user_id VARCHAR, "partition" INT, "offset" BIGINT, score BIGINT, item INT, '
            "low_offset BIGINT)"
        )
        database.execute("CREATE TABLE shown (player VARCHAR, total BIGINT)")
        if events:
            database.executemany(f"INSERT INTO events VALUES (?, ?, ?, ?, 0, {LOW})", events)
        there = [(player, total) for player, total in shown.items() if total is not None]
        if there:
            database.executemany("INSERT INTO shown VALUES (?, ?)", there)
        return database.execute(SQL, {"most": 20}).fetchall()


@pytest.mark.parametrize(
    "change",
    [
        {}, {"a": 7}, {"a": 5}, {"b": 3}, {"b": None}, {"a": 5, "b": None}, {"d": 1}, {"d": 2}, {"d": 11},
    ],
)  # fmt: skip
def test_what_some_cut_in_the_bracket_gives_is_right(change: dict[str, int | None]) -> None:
    assert differing(SHOWN | change) == []


@pytest.mark.parametrize(
    "change",
    [
        {"a": 9}, {"a": 4}, {"a": 12}, {"a": None}, {"a": 0}, {"b": 5}, {"b": 0}, {"c": 8}, {"c": 10}, {"c": None},
        {"d": 0}, {"d": 13}, {"z": 1}, {"z": None}, {"nobody": 0}, {"nobody": 3},
    ],
)  # fmt: skip
def test_what_no_cut_gives_is_told(change: dict[str, int | None]) -> None:
    [(player, total, low, high, count)] = differing(SHOWN | change)
    assert ({player: total}, count) == (change, 1)
    assert (low, high) == {"a": (5, 11), "b": (0, 6), "c": (9, 9), "d": (1, 12), "z": (0, 0)}.get(player, (None, None))


def test_every_difference_is_counted_and_some_are_told() -> None:
    found = differing({f"p{number:03}": 1 for number in range(50)}, [])
    assert (len(found), found[0][0], found[0][-1]) == (20, "p000", 50)
    assert differing({}, []) == []


class Store:
    """A set whose state is the next of these with each look, and then the last."""

    def __init__(self, *states: SetState) -> None:
        self.states = list(states)

    def state(self) -> SetState:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


def wait_for_cut(monkeypatch: pytest.MonkeyPatch, *states: SetState) -> Store:
    monkeypatch.setattr(verify, "ROUND_SECONDS", 0.0)
    monkeypatch.setattr(verify, "CUT_SECONDS", 0.05)
    store = Store(*states)
    verify._wait_for_cut(cast("RankStore", store))
    return store


def test_a_loader_that_has_just_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SetState({0: 1}, complete=True, low={0: 1}, high={0: 1})
    begun = replace(known, low=None, high=None, reason="the loader has just begun")
    assert wait_for_cut(monkeypatch, SetState(), replace(begun, complete=False), begun, known).states == [known]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (SetState(), "not being loaded; see `gamestream status`"),
        (SetState({0: 1}), "are being loaded from their topic; run the command again"),
        (SetState({0: 1}, complete=True, reason="no checkpoint yet"), "unknown: no checkpoint yet; run the command"),
    ],
)
def test_ranks_without_a_cut_are_not_compared(monkeypatch: pytest.MonkeyPatch, state: SetState, told: str) -> None:
    with pytest.raises(CouldNotLookError, match=told):
        wait_for_cut(monkeypatch, state)

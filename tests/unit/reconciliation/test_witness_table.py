"""The decision table of docs/causes.md: a world for each row, and the cause that the row promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.causes import witness
from gamestream_dagster.reconciliation.causes.topic_history import read_history
from gamestream_dagster.reconciliation.model.values import SinkRow
from gamestream_dagster.reconciliation.observe.board_topic import Change
from gamestream_dagster.reconciliation.observe.sinks import by_key

PAGE = Path(__file__).parents[3] / "docs" / "causes.md"
BOARD = load_boards()["top_players"]
JOB_ITSELF = "the job's own"


def decisions() -> dict[str, str]:
    """Case to cause, from the page."""
    table = (
        PAGE.read_text(encoding="utf-8").partition("<!-- decisions -->")[2].partition("<!-- end of decisions -->")[0]
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {row[0].strip("`"): row[-1].replace("`", "") for row in rows}


def row(rank: int, total: int, user: str = "") -> dict:
    return {"rnk": rank, "user_id": user or f"u{rank}", "team_name": "T", "total_score": total}


def put(rank: int, total: int) -> tuple[int, dict | None]:
    return rank, row(rank, total)


@dataclass(frozen=True)
class Case:
    """A topic (rank, row or None for a tombstone), what Postgres shows, and the rank that is asked about."""

    topic: Sequence[tuple[int, dict | None]]
    postgres: Sequence[dict]
    rank: int = 2
    ages: Sequence[int] = ()
    prefix: bool | None = False
    begin: int = 0
    waiting: bool = False
    foreign: tuple[int, ...] = ()

    def cause(self, kafka: bool = False) -> str:
        changes = [
            Change(0, self.begin + at, orjson.dumps({"rnk": rank}), None if held is None else orjson.dumps(held))
            for at, (rank, held) in enumerate(self.topic)
        ]
        newest = {change.key: change for change in changes}
        shown = [SinkRow(one) for one in self.postgres]
        for one, age in zip(shown, self.ages, strict=False):
            one.age = age
        postgres = by_key(BOARD, shown)
        in_kafka = by_key(BOARD, [one.row(BOARD) for one in newest.values() if one.value is not None])
        history = replace(read_history(BOARD, changes, postgres), open_transaction=self.waiting)
        foreign = frozenset((rank,) for rank in self.foreign)
        sides = witness.Sides(BOARD, postgres, in_kafka, history, lambda _key, _row: self.prefix, foreign)
        told = (witness.testify_kafka if kafka else witness.testify_postgres)(sides, (self.rank,))
        assert told.facts["why"]
        return " or ".join(told.either) or JOB_ITSELF


FIRST = [put(1, 50), put(2, 40), put(3, 30)]
"""Three rows, then rank 2 changes, then rank 3."""
GROWN = [*FIRST, put(2, 45), put(3, 35)]
KAFKA = " (Kafka)"
WORLDS: dict[str, Callable[[], str]] = {
    "older-before": Case(GROWN, [row(1, 50), row(2, 40), row(3, 30)]).cause,
    "older-alone": Case(
        [put(1, 50), put(3, 30), put(2, 40), put(2, 45)], [row(1, 50), row(2, 40), row(3, 30)], ages=[9, 1, 9]
    ).cause,
    "older-unwritten": Case(
        [*FIRST, put(3, 35), put(2, 45)], [row(1, 50), row(2, 40), row(3, 35)], ages=[9, 9, 5]
    ).cause,
    "older-past": Case(GROWN, [row(1, 50), row(2, 40), row(3, 35)]).cause,
    "older-rewritten": Case(
        [*FIRST, put(3, 35), put(2, 45)], [row(1, 50), row(2, 40), row(3, 35)], ages=[9, 1, 5]
    ).cause,
    "older-untouched": Case(GROWN, [row(1, 50), row(2, 40), row(3, 35)], ages=[9, 9, 5]).cause,
    "never-held": Case(GROWN, [row(1, 50), row(2, 41), row(3, 35)]).cause,
    "compacted-prefix": Case(GROWN, [row(1, 50), row(2, 1), row(3, 1)], begin=70, prefix=True).cause,
    "compacted-alone": Case(
        [put(1, 50), put(3, 30), put(2, 45)], [row(1, 50), row(2, 40), row(3, 30)], begin=70, prefix=True
    ).cause,
    "compacted-no-prefix": Case(GROWN, [row(1, 50), row(2, 1), row(3, 1)], begin=70, prefix=False).cause,
    "compacted-past": Case(GROWN, [row(1, 50), row(2, 1), row(3, 35)], begin=70, prefix=True).cause,
    "compacted-unknown": Case(GROWN, [row(1, 50), row(2, 1), row(3, 1)], begin=70, prefix=None).cause,
    "absent-before": Case([put(1, 50), put(2, 40), put(1, 55)], [row(1, 50)]).cause,
    "absent-alone": Case([put(1, 50), put(2, 40)], [row(1, 50)]).cause,
    "absent-past": Case(GROWN, [row(1, 50), row(3, 35)]).cause,
    "absent-all": Case(GROWN, []).cause,
    "deleted-before": Case([*FIRST, (3, None), put(2, 45)], [row(1, 50), row(2, 40), row(3, 30)], rank=3).cause,
    "deleted-alone": Case([*FIRST, (3, None)], [row(1, 50), row(2, 40), row(3, 30)], rank=3).cause,
    "deleted-past": Case([*FIRST, (3, None), put(2, 45)], [row(1, 50), row(2, 45), row(3, 30)], rank=3).cause,
    "inserted": Case(FIRST, [*(held for _, held in FIRST if held), row(4, 1)], rank=4).cause,
    "newest": Case(GROWN, [row(1, 50), row(2, 45), row(3, 35)]).cause,
    "foreign-record": lambda: Case([*FIRST, put(2, 7)], [row(1, 50), row(2, 40), row(3, 30)]).cause(True) + KAFKA,
    "foreign-tombstone": lambda: Case([*FIRST, (2, None)], [row(1, 50), row(2, 40), row(3, 30)]).cause(True) + KAFKA,
    "kafka-held-back": lambda: Case(FIRST, [row(2, 45)], prefix=True, waiting=True).cause(True) + KAFKA,
    "kafka-emptied": lambda: Case([], [row(2, 45)]).cause(True) + KAFKA,
}


def test_each_row_of_the_page_has_a_world_and_each_world_a_row():
    assert decisions().keys() == WORLDS.keys()


@pytest.mark.parametrize("case", decisions())
def test_the_cause_is_the_one_of_the_page(case):
    assert WORLDS[case]() == decisions()[case]


def test_versions_behind_are_counted():
    topic = [*FIRST, put(2, 41), put(2, 42), put(2, 43)]
    changes = [Change(0, at, orjson.dumps({"rnk": rank}), orjson.dumps(held)) for at, (rank, held) in enumerate(topic)]
    history = read_history(BOARD, changes, {(2,): row(2, 41)})
    held = history.keys[(2,)].held
    assert held is not None
    assert (held.last.offset, held.next and held.next.offset, held.behind) == (3, 4, 2)


def test_a_repaired_row_of_a_board_that_lags_is_no_edit():
    """A repair wrote rank 2 last; then Postgres kept nothing more, and each rank has moved on in the topic."""
    topic = [*FIRST, put(1, 55), put(2, 45), put(3, 35)]
    assert Case(topic, [row(1, 50), row(2, 40), row(3, 30)], ages=[9, 1, 9]).cause() == "SINK_LAG"


def test_a_row_beside_a_foreign_record_is_no_lag():
    """The topic alone is wrong about rank 3: its newest record there makes Postgres look older than it is."""
    topic = [put(1, 50), put(3, 30), put(2, 40), put(2, 45), put(3, 7)]
    case = Case(topic, [row(1, 50), row(2, 40), row(3, 30)], ages=[9, 1, 9])
    assert case.cause() == "SINK_LAG"
    assert replace(case, foreign=(3,)).cause() == "SINK_LAG or EDITED_BY_HAND"


def test_a_row_of_the_same_transaction_is_no_sign_that_this_one_was_kept():
    topic = [put(1, 50), put(2, 40), put(3, 30), put(2, 45)]
    shown = [row(1, 50), row(2, 40), row(3, 30)]
    assert Case(topic, shown, ages=[9, 5, 1]).cause() == "SINK_LAG"
    assert Case(topic, shown, ages=[9, 5, 5]).cause() == "SINK_LAG or EDITED_BY_HAND"


def test_foreign_records_are_skipped_and_counted():
    changes = [
        Change(0, 0, orjson.dumps({"rnk": 1}), b"garbage"),
        Change(0, 1, b"not json", b"{}"),
        Change(0, 2, None, b"{}"),
        Change(0, 3, b'{ "rnk" : 1 }', orjson.dumps(row(1, 50))),
    ]
    history = read_history(BOARD, changes, {(1,): row(1, 50)})
    assert (history.unreadable, history.without_key) == (1, 1)
    assert str(history.first_foreign) == "top-players p0@0"
    held = history.keys[(1,)].held
    assert held is not None
    assert held.next is None, "the key is compared as a value"


def test_a_marker_between_records_is_no_sign_of_compaction():
    def change(offset: int) -> Change:
        return Change(0, offset, orjson.dumps({"rnk": 1}), orjson.dumps(row(1, offset)))

    assert read_history(BOARD, map(change, (0, 1, 3)), {}).complete
    assert not read_history(BOARD, map(change, (0, 1, 4)), {}).complete

"""An output that forgets: its old rows may be there or not, but never with other values; young ones must be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import DifferenceKind, Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.factory import archive_of
from tests.support.archive_maker import write_records

BOARD = load_boards()["transaction_ids"]
KEYED = load_sources()["transactions-keyed"]
DAY = 86_400_000
NOW = 1_700_000_000_000
SENT = {"old": NOW - 31 * DAY, "young": NOW - 29 * DAY}


def row(name: str, amount: int = 5) -> dict[str, Any]:
    return {
        "transaction_id": name, "user_id": "ann", "transaction_type": "purchase", "amount": amount, "currency": "EUR",
    }  # fmt: skip


def found(folder: Path, *rows: dict[str, Any]) -> list[tuple[DifferenceKind, tuple[str, ...] | None]]:
    records = [(orjson.dumps(row(name) | {"event_time_millis": at}), at) for name, at in SENT.items()]
    write_records(folder, KEYED, records)
    seen = Observation(
        jobs={BOARD.job: JobCut(BOARD.job, "id", "print", 1, {0: 2})},
        high={0: 2},
        boards={(BOARD.name, Sink.POSTGRES): list(rows)},
        at_millis=NOW,
    )
    with ArchiveDatabase(archive_of(folder, KEYED), folder.parent) as archive:
        [result] = examine(archive, [BOARD], [Sink.POSTGRES], seen=seen, since={})
    return [(one.kind, one.entity) for one in result.differences]


@pytest.mark.parametrize("rows", [[row("young")], [row("young"), row("old")]])
def test_an_old_row_may_be_gone(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    assert found(tmp_path / KEYED.topic, *rows) == []


def test_a_young_row_must_be_there(tmp_path: Path) -> None:
    assert found(tmp_path / KEYED.topic, row("old")) == [(DifferenceKind.MISSING, ("young",))]


def test_an_old_row_that_is_still_there_has_its_value(tmp_path: Path) -> None:
    assert found(tmp_path / KEYED.topic, row("young"), row("old", 6)) == [(DifferenceKind.VALUE, ("old",))]


def test_a_row_that_never_was_is_a_stranger(tmp_path: Path) -> None:
    assert found(tmp_path / KEYED.topic, row("young"), row("never")) == [(DifferenceKind.EXTRA, ("never",))]

"""A copy of a topic holds each record of the original once, whatever the keys; what it lacks or adds is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
import yaml

from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.catalogue.topics import TOPICS_FILE
from gamestream_dagster.reconciliation.ledger.copied import copy_faults
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerFault
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.factory import archive_of
from tests.support.archive_maker import write_records

SOURCES = load_sources()
RAW, KEYED = SOURCES["transactions-raw"], SOURCES["transactions-keyed"]
NOW = 1_700_000_000_000
Sent = tuple[bytes | None, int]


def one(name: str, at: int = 0, **fields: object) -> Sent:
    found = {"transaction_id": name, "user_id": "ann", "transaction_type": "purchase", "amount": 5, "currency": "EUR"}
    return orjson.dumps({**found, "event_time_millis": NOW, **fields}), NOW + at


def faults(
    folder: Path, sent: Sequence[Sent], copied: Sequence[Sent], low: int | None = None, high: int | None = None
) -> list[LedgerFault]:
    """`low`, `high`: offsets of the original up to which it was surely, or perhaps, copied; default all of it."""
    write_records(folder / RAW.topic, RAW, sent)
    for place, record in enumerate(copied):
        write_records(folder / KEYED.topic, KEYED, [record], partition=place % 2)
    end = len(sent)
    with ArchiveDatabase(archive_of(folder / KEYED.topic, KEYED), folder) as archive:
        at = archive.at({0: len(copied), 1: len(copied)})
        span = {"low": {0: end if low is None else low}, "high": {0: end if high is None else high}}
        return copy_faults(archive, at, RAW, folder / RAW.topic, **span)


SENT = (one("a"), one("b", 1), one("a"), (b"not json", NOW), (None, NOW), one("c", 2, amount=-1))


def test_the_same_records_in_any_order_and_partition_are_a_copy(tmp_path: Path) -> None:
    assert faults(tmp_path, SENT, SENT[::-1]) == []


def test_a_record_that_is_not_copied_is_missing(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, SENT, SENT[1:])
    assert (fault.kind, fault.partition, fault.first_offset, fault.records) == (FaultKind.MISSING, 0, 0, 1)
    assert "transactions-keyed lacks 1 records of transactions-raw, the first of them p0@0" in fault.sentence


@pytest.mark.parametrize("more", [SENT[1], SENT[3], one("b", 1, amount=6), one("b", 2), (b"not jsom", NOW)])
def test_a_record_more_is_named(tmp_path: Path, more: Sent) -> None:
    [fault] = faults(tmp_path, SENT, (*SENT, more))
    assert (fault.kind, fault.records) == (FaultKind.TWICE, 1)


def test_a_changed_record_is_missing_and_one_too_many(tmp_path: Path) -> None:
    changed = (one("a", amount=6), *SENT[1:])
    assert [fault.kind for fault in faults(tmp_path, SENT, changed)] == [FaultKind.MISSING, FaultKind.TWICE]


def test_what_was_sent_since_the_low_cut_may_be_copied_or_not(tmp_path: Path) -> None:
    assert faults(tmp_path / "not", SENT, SENT[:4], low=4) == []
    assert faults(tmp_path / "all", SENT, SENT, low=4) == []
    assert [fault.kind for fault in faults(tmp_path / "less", SENT, SENT[:3], low=4)] == [FaultKind.MISSING]
    assert [fault.kind for fault in faults(tmp_path / "more", SENT, SENT, low=2, high=3)] == [FaultKind.TWICE]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"copy_of": "nothing"}, "must name a stream"), ({"copy_of": "user-score"}, "differ in `event_types`")],
)
def test_a_copy_of_what_it_cannot_be_is_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    topics = yaml.safe_load(TOPICS_FILE.read_text(encoding="utf-8"))
    topics["topics"][KEYED.topic] |= changes
    path = tmp_path / "topics.yaml"
    path.write_text(yaml.safe_dump(topics), encoding="utf-8")
    with pytest.raises(CatalogueError, match=said):
        load_sources(path)

"""The ledger and the archive's own positions."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_maker import make_archive
from event_logs import AS_OF
from reference_model import Event

from gamestream_dagster.archive.manifest import load_manifest
from gamestream_dagster.reconciliation.ledger import archive_faults, balance
from gamestream_dagster.reconciliation.observe import Progress
from gamestream_dagster.reconciliation.recompute import Recompute


@pytest.fixture
def topic_dir(tmp_path):
    events = [Event(p, n, f"u{p}", "t", "T", 1, AS_OF) for p in range(2) for n in range(100) if n != 50]
    return make_archive(tmp_path / "user-score", events, refused=[(0, 100), (1, 100)])


def test_every_record_has_one_outcome(topic_dir, tmp_path):
    with Recompute(topic_dir, tmp_path) as recompute:
        found = balance(recompute, topic_dir, {0: 101, 1: 90}, {"job": {0: Progress(99, 99, 99)}})
    assert (found.records, found.accepted, found.dead_lettered) == (189, 188, 1)
    assert found.reasons == {"NOT_JSON": 1}
    assert found.balanced, found.faults


def test_a_counter_of_the_job_that_disagrees_is_named(topic_dir, tmp_path):
    with Recompute(topic_dir, tmp_path) as recompute:
        found = balance(recompute, topic_dir, {0: 101}, {"job": {0: Progress(98, 98, 99)}})
    assert not found.balanced
    assert found.faults == ("job counted 98 records (98 accepted) of p0 up to offset 99, the archive holds 99 (99)",)


def test_ten_deleted_records_are_named_and_markers_are_not(topic_dir):
    assert archive_faults(topic_dir) == []
    file = next(file for file in load_manifest(topic_dir).files if file.partition == 1)
    table = pq.read_table(topic_dir / file.path)
    keep = [not 20 <= offset.as_py() < 30 for offset in table.column("offset")]
    pq.write_table(table.filter(pa.array(keep)), topic_dir / file.path)
    assert archive_faults(topic_dir) == ["hole in the archive: p1@20..29"]


def test_a_deleted_file_is_named(topic_dir):
    file = load_manifest(topic_dir).files[0]
    (topic_dir / file.path).unlink()
    assert archive_faults(topic_dir) == ["hole in the archive: p0@0..100 (file gone)"]


def test_minutes_are_whole(topic_dir, tmp_path):
    with Recompute(topic_dir, tmp_path) as recompute:
        minutes = list(recompute.minutes())
    assert sum(minute["records"] for minute in minutes) == 200
    assert all(minute["records"] == minute["accepted"] + minute["dead_lettered"] for minute in minutes)
    assert {minute["minute"] % 60_000 for minute in minutes} == {0}

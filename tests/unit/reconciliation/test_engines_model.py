"""The reference model, the recompute's rows, and what copies are: the same for any log and any cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from tests.support import reference_model as model
from tests.support.archive_maker import make_archive, open_folder
from tests.support.event_logs import BOARDS
from tests.support.generated_logs import AS_OF, cuts, logs
from tests.support.reference_model import Event

DESCRIBED = load_boards()


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_model_is_the_recompute(data: st.DataObject):
    log = data.draw(logs())
    cut = data.draw(cuts(log))
    counted = model.before(model.counted(log.events), cut)
    with tempfile.TemporaryDirectory() as folder:
        make_archive(Path(folder) / "user-score", log.events)
        with open_folder(Path(folder) / "user-score", Path(folder)) as archive:
            for name, board in BOARDS.items():
                assert board_rows(archive, archive.at(cut), DESCRIBED[name]) == board(counted)
            for as_of in (AS_OF, AS_OF - 5_000):
                rows = board_rows(archive, archive.at(cut), DESCRIBED["hot_streaks"], as_of=as_of)
                expected = model.hot_streaks(counted, as_of)
                for row, other in zip(rows, expected, strict=True):
                    assert row.pop("peak_hotness") == pytest.approx(other.pop("peak_hotness"), rel=1e-15)
                    assert row == other
            sql = 'SELECT "partition", "offset", late_by FROM records WHERE reason IS NULL'
            found = archive.query(archive.at(log.end), sql)
    behind = {(row["partition"], row["offset"]) for row in found if (row["late_by"] or 0) > model.DELAY_MILLIS}
    assert {(event.partition, event.offset) for event in model.late(log.events)} == behind


def event(offset: int, minutes: float, *, partition: int = 0, accepted: bool = True, behind: int = 0) -> Event:
    arrived = AS_OF + round(minutes * 60_000)
    return Event(partition, offset, "u", "t", "T", 1, arrived - behind, "e", arrived, accepted)


def test_a_copy_counts_again_when_the_job_has_forgotten_its_id():
    events = [event(0, 0), event(1, 5), event(2, 11.9), event(3, 12), event(4, 20)]
    assert [one.offset for one in model.counted(events)] == [0]
    assert [one.offset for one in model.counted_by_job(events, 12 * 60_000)] == [0, 3]


def test_a_refused_record_is_no_first_copy():
    events = [event(0, 0, accepted=False), event(1, 1), event(2, 2)]
    assert [one.offset for one in model.counted(events)] == [1]


def test_over_partitions_the_first_in_kafka_time_counts():
    events = [event(0, 2), event(1, 0), event(0, 1, partition=1)]
    # in partition 0 the first by offset is that of minute 2, which comes after that of partition 1
    assert [(one.partition, one.offset) for one in model.counted(events)] == [(1, 0)]


def test_what_is_five_seconds_behind_is_in_time():
    assert [one.offset for one in model.late([event(0, 0), event(1, 0, behind=5_000), event(2, 0, behind=5_001)])] == [
        2
    ]

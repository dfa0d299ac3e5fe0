"""The ledger: every record has one outcome, the archive each position once, and the jobs counted what is there."""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.reconciliation.ledger.balance import LAST_MINUTE, _on_the_calendar, archive_faults, balance
from gamestream_dagster.reconciliation.ledger.edited_counter import repairable
from gamestream_dagster.reconciliation.ledger.minutes import read_minutes
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerBalance, LedgerFault
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from tests.support.archive_maker import archive_records, open_folder
from tests.support.job_counts import counted_by, read_records

START = 1_700_000_080_000  # 20 s before a minute begins
HIGH = {0: 101, 1: 101}
COUNTS = ("records", "accepted", "duplicate", "offset_sum", "offset_square_sum", "first_offset", "last_offset")


def value(score: int, event_id: str | None, time: int) -> bytes:
    fields = {"user_id": "u", "team_id": "t", "team_name": "T", "score": score, "event_time_millis": time}
    return orjson.dumps(fields if event_id is None else fields | {"event_id": event_id})


@pytest.fixture
def topic_dir(tmp_path):
    """Two partitions, one record each 400 ms, a marker at 50, refused ones at 60 (readable) and 100 (not)."""
    values = {}
    for partition in range(2):
        for offset in range(101):
            at = START + 400 * offset
            if offset != 50:
                values[partition, offset] = (value(-1 if offset == 60 else 1, None, at), at)
        values[partition, 100] = (b"nope", START + 40_000)
    return archive_records(tmp_path / "user-score", values)


def faults(topic_dir: Path, counted: JobLedger, low: dict[int, int], high: dict[int, int] = HIGH) -> list[LedgerFault]:
    return list(whole(topic_dir, counted, low, high).faults)


def whole(topic_dir: Path, counted: JobLedger, low: dict[int, int], high: dict[int, int] = HIGH) -> LedgerBalance:
    with open_folder(topic_dir, topic_dir.parent) as archive:
        return balance(archive, archive.at(high), counted, {"job": low})


def named(found: list[LedgerFault]) -> list[tuple]:
    return [(one.kind, one.where, one.partition, one.first_offset, one.last_offset, one.records) for one in found]


def rewrite(topic_dir: Path, partition: int, places: Callable[[list[int]], list[int]]) -> None:
    """The partition's file anew, with the rows whose places `places` gives for its offsets, as a faulty writer left it:
    the manifest has its digest, and another number of rows."""
    manifest = load_manifest(topic_dir)
    file = next(file for file in manifest.files if file.partition == partition)
    path = topic_dir / file.path
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(places(table.column("offset").to_pylist()))), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    save_manifest(topic_dir, manifest.extended(file.model_copy(update={"sha256": digest})))


def test_every_record_has_one_outcome(tmp_path):
    """A copy is a duplicate, however late; a late first copy is late; what is refused is neither."""
    now = START
    sent = [
        (value(1, "a", now), now),
        (value(1, "a", now - 60_000), now),  # a copy
        (value(1, "b", now - 5_000), now),  # just in time
        (value(1, "c", now - 5_001), now),  # late
        (value(-1, "d", now - 60_000), now),
        (value(1, "d", now), now),  # the first accepted one
        (b"nope", now),
        (value(1, None, now)[:-1] + b',"x":1}', now),
        (value(1, None, now), now),  # not before the cut
    ]
    topic = archive_records(tmp_path / "user-score", {(0, n): one for n, one in enumerate(sent)})
    with open_folder(topic, tmp_path) as archive:
        found = balance(archive, archive.at({0: 8}))
        [minute] = read_minutes(archive, archive.at({0: 8}))
    assert (found.records, found.accepted, found.duplicate, found.late, found.dead_lettered) == (8, 4, 1, 1, 2)
    assert (found.reasons, found.remarks) == (
        {"NOT_JSON": 1, "OUT_OF_RANGE": 1},
        {"UNKNOWN_FIELD": 1, "DUP_CONFLICT": 1},  # the copy of another minute
    )
    assert found.balanced, found.faults
    assert minute["reasons"] == {"NOT_JSON": 1, "OUT_OF_RANGE": 1, "UNKNOWN_FIELD": 1, "DUP_CONFLICT": 1}


def test_times_that_no_calendar_has_are_one_minute_of_the_ledger(tmp_path):
    beyond = (LAST_MINUTE + 60_000, 2**53, 2**62)
    sent = [(b"nope", at) for at in (START, *beyond)] + [(value(1, None, START), at) for at in beyond]
    topic = archive_records(tmp_path / "user-score", {(0, n): one for n, one in enumerate(sent)})
    with open_folder(topic, tmp_path) as archive:
        assert balance(archive, archive.at({0: 7})).balanced
        first, last = _on_the_calendar(read_minutes(archive, archive.at({0: 7})))
    assert (first["records"], first["last_offset"]) == (1, 0)
    assert (last["minute"], last["first_offset"], last["last_offset"]) == (LAST_MINUTE, 1, 6)
    assert (last["records"], last["dead_lettered"], last["reasons"]) == (6, 3, {"NOT_JSON": 3})


def test_an_empty_archive_balances(tmp_path):
    with open_folder(tmp_path / "user-score", tmp_path) as archive:
        found = balance(archive, archive.at({0: 0}), JobLedger(), {"job": {}})
    assert found.balanced
    assert found.records == 0


def test_a_job_that_counted_all_agrees(topic_dir):
    counted = counted_by("job", read_records(topic_dir))
    assert len(counted.columns["records"]) == 4, "two minutes of two partitions"
    assert faults(topic_dir, counted, HIGH) == []


@pytest.mark.parametrize(
    ("first", "last", "records"), [(20, 29, 10), (45, 55, 10), (0, 9, 10), (90, 99, 10), (7, 7, 1)]
)
@pytest.mark.parametrize("times", [0, 2])
def test_a_run_that_the_job_lacks_or_has_twice_is_named(topic_dir, first, last, records, times):
    """Within a minute, over a minute's end, around the marker at 50, at both ends; on one partition alone."""
    wrong = counted_by(
        "job", read_records(topic_dir), lambda one: times if one[0] == 1 and first <= one[1] <= last else 1
    )
    kind = FaultKind.TWICE if times else FaultKind.MISSING
    [fault] = faults(topic_dir, wrong, HIGH)
    assert named([fault]) == [(kind, "job", 1, first, last, records)]
    assert f"p1@{first}..{last}" in fault.sentence


def test_minutes_that_the_job_lacks_wholly_are_one_run(topic_dir):
    records = read_records(topic_dir)
    last = max(at for _, _, at, _ in records) // 60_000 * 60_000
    lacking = counted_by("job", records, lambda one: one[0] or one[2] >= last)
    run = [offset for partition, offset, at, reason in records if partition == 0 and at < last and reason is None]
    assert named(faults(topic_dir, lacking, HIGH)) == [(FaultKind.MISSING, "job", 0, 0, run[-1], len(run))]


def test_of_a_partition_without_any_row_nobody_knows_what_the_job_counted(topic_dir):
    lacking = counted_by("job", read_records(topic_dir), lambda one: one[0])
    for counted, partitions in ((lacking, [0]), (JobLedger(), [0, 1])):
        found = faults(topic_dir, counted, HIGH)
        assert [(one.kind, one.partition, one.records) for one in found] == [
            (FaultKind.UNLIKE, partition, 99) for partition in partitions
        ]
        assert all("or its rows were deleted" in one.sentence for one in found)


def changed(ledger: JobLedger, place: int, **values: int) -> JobLedger:
    for name, value in values.items():
        ledger.columns[name][place] = value
    return ledger


@pytest.mark.parametrize(
    "values",
    [
        {"records": 0},
        {"records": -5},
        {"records": 7, "accepted": 7},
        {"accepted": -1},
        {"offset_sum": 3},
        {"first_offset": 99},
    ],
)
def test_a_row_that_somebody_changed_is_the_counters_fault_and_can_be_repaired(topic_dir, values):
    """The row of the whole partition bears the archive out: the job has counted every record."""
    right = counted_by("job", read_records(topic_dir))
    wrong = changed(counted_by("job", read_records(topic_dir)), 0, **values)
    [fault] = faults(topic_dir, wrong, HIGH)
    assert fault.kind is FaultKind.EDITED
    assert "another hand" in fault.sentence
    assert "gamestream repair" in fault.sentence
    row = {name: right.columns[name][0] for name in COUNTS}
    assert (fault.right, fault.minute) == (row, right.columns["minute"][0])
    assert repairable([fault]) == [fault]


def test_a_deleted_row_is_told_with_what_it_held(topic_dir):
    wrong = counted_by("job", read_records(topic_dir))
    row = {name: wrong.columns[name].pop(1) for name in wrong.columns}
    [fault] = faults(topic_dir, wrong, HIGH)
    assert (fault.kind, fault.shown) == (FaultKind.EDITED, None)
    assert fault.right == {name: row[name] for name in COUNTS}


@pytest.mark.parametrize("minute", [60_000, 2**63 - 1, -(2**63)], ids=["a minute", "after all", "before all"])
def test_a_row_of_a_minute_without_records_is_to_be_deleted(topic_dir, minute):
    wrong = counted_by("job", read_records(topic_dir))
    wrong.add({"job": "job", "partition_id": 1, "minute_millis": minute} | dict.fromkeys(COUNTS, 1))
    [fault] = faults(topic_dir, wrong, HIGH)
    assert (fault.kind, fault.minute, fault.right) == (FaultKind.EDITED, minute, {})


def test_a_row_of_the_whole_partition_that_no_job_can_have_written(topic_dir):
    wrong = counted_by("job", read_records(topic_dir))
    wrong.totals["job", 0] |= {"records": 0}
    [fault] = faults(topic_dir, wrong, HIGH)
    assert fault.kind is FaultKind.EDITED
    assert "never counted" not in fault.sentence
    assert "with its next record" in fault.sentence


def test_a_job_restored_from_an_old_state_lacks_what_the_rows_of_old_minutes_still_tell(topic_dir):
    """Its state lacks a run, but a minute without new records keeps the row of the state that was given up."""
    records = read_records(topic_dir)
    ledger = counted_by("job", records)
    state = counted_by("job", records, lambda one: 0 if one[0] == 0 and 20 <= one[1] <= 29 else 1)
    ledger.totals = state.totals
    found = faults(topic_dir, ledger, HIGH)
    assert named(found) == [(FaultKind.MISSING, "job", 0, 20, 29, 10)]
    assert "p0@20..29" in found[0].sentence


def test_a_lost_run_is_found_beside_a_refused_record_that_the_job_counted(topic_dir):
    """After a restore from an old state, of a job that does not validate."""
    records = read_records(topic_dir)
    ledger = counted_by("job", records)
    ledger.totals = counted_by("job", records, lambda one: 0 if one[0] == 0 and 20 <= one[1] <= 29 else 1).totals
    ledger.columns["accepted"][1] += 1
    found = faults(topic_dir, ledger, HIGH)
    assert (FaultKind.MISSING, "job", 0, 20, 29, 10) in named(found)


def test_what_the_job_has_not_yet_read_is_not_missing(topic_dir):
    records = read_records(topic_dir)
    for at in (0, 1, 30, 49, 50, 51, 75, 100):
        counted = counted_by("job", [one for one in records if one[1] < at])
        assert faults(topic_dir, counted, {0: at, 1: at}) == []
        assert faults(topic_dir, counted, {0: 0, 1: 0}) == []
        if 1 < at < 100:
            [*_, fault] = faults(topic_dir, counted, {0: at, 1: 100})
            assert (fault.kind, fault.partition, fault.last_offset) == (FaultKind.MISSING, 1, 99)


def test_rows_that_are_newer_than_the_low_cut_are_right(topic_dir):
    """Each minute's row may have been written at another moment: the stream runs on while they are read."""
    records = read_records(topic_dir)
    minute = START // 60_000 * 60_000
    mixed = [one for one in records if one[1] < (30 if one[2] < minute + 60_000 else 80)]
    assert faults(topic_dir, counted_by("job", mixed), {0: 30, 1: 25}) == []


def test_a_minute_that_the_job_read_beyond_the_archive_is_not_compared(topic_dir):
    counted = counted_by("job", read_records(topic_dir))
    assert faults(topic_dir, counted, {0: 40, 1: 40}, {0: 90, 1: 90}) == []


def test_two_runs_in_a_minute_are_not_guessed_at(topic_dir):
    lacking = counted_by("job", read_records(topic_dir), lambda one: 0 if one[1] in (5, 9) else 1)
    found = faults(topic_dir, lacking, HIGH)
    assert [(one.kind, one.first_offset, one.last_offset, one.records) for one in found] == 2 * [
        (FaultKind.UNLIKE, 0, 49, 2)
    ]
    assert "no single run of offsets" in found[0].sentence


def test_what_the_topic_no_longer_held_is_one_run_whatever_the_order_of_kafkas_times(tmp_path):
    """A job that began to read behind what retention deleted; every minute holds some of what it lacks."""
    times = {offset: START + (offset * 37 % 101) * 2_000 for offset in range(101)}
    values = {(0, offset): (value(1, None, at), at) for offset, at in times.items()}
    topic_dir = archive_records(tmp_path / "user-score", values)
    counted = counted_by("job", read_records(topic_dir), lambda one: one[1] >= 43)
    assert named(faults(topic_dir, counted, {0: 101}, {0: 101})) == [(FaultKind.MISSING, "job", 0, 0, 42, 43)]


def test_a_record_lacking_and_another_one_twice_is_seen(topic_dir):
    wrong = counted_by("job", read_records(topic_dir), lambda one: {5: 0, 9: 2}.get(one[1], 1))
    assert {one.kind for one in faults(topic_dir, wrong, HIGH)} == {FaultKind.UNLIKE}


def test_another_judgement_is_seen(topic_dir):
    counted = counted_by("job", read_records(topic_dir))
    counted.columns["accepted"][0] -= 1
    counted.totals["job", 0]["accepted"] -= 1
    [fault] = faults(topic_dir, counted, HIGH)
    assert fault.kind is FaultKind.UNLIKE
    assert "job accepted 49 records" in fault.sentence


def test_sums_wrap_as_those_of_the_job_do(topic_dir):
    counted = counted_by("job", read_records(topic_dir))
    right = counted.columns["offset_square_sum"][0]
    counted.columns["offset_square_sum"][0] = right - 1
    counted.totals["job", 0]["offset_square_sum"] -= 1
    assert faults(topic_dir, counted, HIGH)[0].kind is FaultKind.UNLIKE


def test_copies_that_the_job_counted_are_told_and_no_fault(tmp_path):
    values = {(0, n): (value(1, "a", START), START) for n in range(5)}
    topic = archive_records(tmp_path / "user-score", values)
    counted = counted_by("job", read_records(topic))
    counted.columns["accepted"][0], counted.columns["duplicate"][0] = 3, 2  # two of the four copies within the horizon
    found = whole(topic, counted, {0: 5}, {0: 5})
    assert (found.accepted, found.duplicate) == (1, 4)
    assert found.balanced, found.faults
    assert found.remarks == {"copies that job counted": 2}


def test_ten_deleted_records_are_named_once_and_markers_are_not(topic_dir):
    counted = counted_by("job", read_records(topic_dir))
    assert archive_faults(topic_dir) == []
    rewrite(topic_dir, 1, lambda offsets: [at for at, offset in enumerate(offsets) if not 20 <= offset < 30])
    found = faults(topic_dir, counted, HIGH)
    assert named(found) == [(FaultKind.HOLE, "archive", 1, 20, 29, 10)]
    assert found[0].sentence == "hole in the archive: p1@20..29 is gone"


def test_a_hole_beside_a_marker_does_not_name_the_marker(topic_dir):
    rewrite(topic_dir, 0, lambda offsets: [at for at, offset in enumerate(offsets) if not 51 <= offset < 55])
    assert named(archive_faults(topic_dir)) == [(FaultKind.HOLE, "archive", 0, 51, 54, 4)]


def test_a_hole_with_records_that_no_job_sees_blames_no_job(topic_dir):
    counted = counted_by("job", read_records(topic_dir))
    rewrite(topic_dir, 0, lambda offsets: [at for at, offset in enumerate(offsets) if offset < 95])
    assert named(faults(topic_dir, counted, HIGH)) == [(FaultKind.HOLE, "archive", 0, 95, 100, 6)]


def test_a_file_that_cannot_be_read_is_a_hole(topic_dir):
    (topic_dir / load_manifest(topic_dir).files[0].path).write_bytes(b"PAR1")
    assert named(archive_faults(topic_dir)) == [(FaultKind.HOLE, "archive", 0, 0, 100, 100)]


def test_a_hole_and_a_job_that_lacks_something_else_are_two_faults(topic_dir):
    wrong = counted_by("job", read_records(topic_dir), lambda one: 0 if one[0] == 0 and 10 <= one[1] < 20 else 1)
    rewrite(topic_dir, 1, lambda offsets: [at for at, offset in enumerate(offsets) if not 45 <= offset < 49])
    assert named(faults(topic_dir, wrong, HIGH)) == [
        (FaultKind.HOLE, "archive", 1, 45, 48, 4),
        (FaultKind.MISSING, "job", 0, 10, 19, 10),
    ]


def test_records_that_the_archive_has_twice_are_named(topic_dir):
    counted = counted_by("job", read_records(topic_dir))
    rewrite(
        topic_dir,
        0,
        lambda offsets: [*range(len(offsets)), *(at for at, offset in enumerate(offsets) if 3 <= offset < 7)],
    )
    assert named(faults(topic_dir, counted, HIGH)) == [(FaultKind.OVERLAP, "archive", 0, 3, 6, 4)]


def test_a_deleted_file_is_named(topic_dir):
    file = load_manifest(topic_dir).files[0]
    (topic_dir / file.path).unlink()
    assert named(archive_faults(topic_dir)) == [(FaultKind.HOLE, "archive", 0, 0, 100, 100)]


def test_a_file_that_the_manifest_lost_is_a_hole(topic_dir):
    manifest = load_manifest(topic_dir)
    [file] = [file for file in manifest.files if file.partition == 0]
    later = file.model_copy(update={"from_offset": 120, "first_offset": 120, "last_offset": 130, "next_offset": 131})
    shutil.copy(topic_dir / file.path, topic_dir / "later.parquet")
    save_manifest(topic_dir, manifest.extended(later.model_copy(update={"path": "later.parquet"})))
    assert (FaultKind.HOLE, "archive", 0, 101, 119, 19) in named(archive_faults(topic_dir))


def test_the_ledger_of_a_large_run_over_many_minutes_is_one_run(tmp_path):
    chance = random.Random(3)
    at, values = START, {}
    for offset in range(400):
        at += chance.choice([1, 500, 3_000])
        shuffled = at - chance.choice([0, 0, 4_000])  # Kafka times of a producer need not be in order
        values[0, 999_800 + offset] = (value(1, None, shuffled), shuffled)
    topic = archive_records(tmp_path / "user-score", values)
    wrong = counted_by("job", read_records(topic), lambda one: 0 if 999_900 <= one[1] < 1_000_100 else 1)
    high = {0: 1_000_200}
    assert named(faults(topic, wrong, high, high)) == [(FaultKind.MISSING, "job", 0, 999_900, 1_000_099, 200)]


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_false_alarm_at_any_moment_of_a_running_stream(data):
    """Minutes read at different prefixes at or beyond the low cut, times out of order, refused records among them."""
    count = data.draw(st.integers(1, 60))
    values = {}
    for offset in range(count):
        at = START + 1_000 * offset - data.draw(st.sampled_from([0, 0, 3_000]))
        good = data.draw(st.sampled_from([b"", b"", b"nope"])) or value(data.draw(st.sampled_from([1, -1])), None, at)
        values[0, 2 * offset] = (good, at)
    with tempfile.TemporaryDirectory() as folder:
        topic = archive_records(Path(folder) / "user-score", values)
        high = data.draw(st.integers(0, 2 * count))
        low = data.draw(st.integers(0, high))
        ledger = JobLedger()
        for minute in {at // 60_000 for _, at in values.values()}:
            upto = data.draw(st.integers(low, 2 * count))
            part = [one for one in read_records(topic) if one[2] // 60_000 == minute and one[1] < upto]
            rows = counted_by("job", part)
            for number in range(len(rows.columns["records"])):
                row = {name: column[number] for name, column in rows.columns.items()}
                ledger.add(row | {"job": "job", "minute_millis": row["minute"]})
        assert faults(topic, ledger, {0: low}, {0: high}) == []

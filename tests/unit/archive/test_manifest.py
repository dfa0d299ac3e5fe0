"""The manifest: a range is there once or not at all."""

from __future__ import annotations

import hashlib

import pytest

from gamestream_dagster.archive.decode import decoding
from gamestream_dagster.archive.errors import (
    ArchiveBusyError,
    ArchiveDamagedError,
    ArchiveLayoutError,
    TruncatedByRetentionError,
)
from gamestream_dagster.archive.leftovers import remove_orphans
from gamestream_dagster.archive.manifest import ArchivedFile, Break, Chapter, Manifest
from gamestream_dagster.archive.manifest_file import exclusive, load_manifest, save_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import ArchiveRun, _check_still_there, _gaps, _Pending
from gamestream_dagster.clients.kafka_records import Raw
from tests.support.fakes.streams import SCORES


def file(partition: int, start: int, end: int, **changes) -> ArchivedFile:
    values = {
        "path": f"{partition}-{start}-{end - 1}.parquet",
        "sha256": hashlib.sha256(b"x").hexdigest(),
        "partition": partition,
        "from_offset": start,
        "first_offset": start,
        "last_offset": end - 1,
        "next_offset": end,
        "records": end - start,
        "rows": end - start,
        "gaps": (),
    }
    return ArchivedFile(**{**values, **changes})


def test_it_comes_back_as_it_was_saved(tmp_path):
    manifest = Manifest(topic=tmp_path.name).extended(file(0, 0, 5), file(1, 0, 3), file(0, 5, 9, gaps=((7, 8),)))
    save_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest
    assert load_manifest(tmp_path).head == manifest.head
    assert manifest.archived_upto == {0: 9, 1: 3}
    assert manifest.breaks() == []
    assert not list(tmp_path.glob("*.new"))


def test_holes_and_overlaps_are_named_with_their_offsets():
    manifest = Manifest(topic="t").extended(file(0, 0, 5), file(0, 7, 9), file(1, 0, 5), file(1, 4, 9))
    assert manifest.breaks() == [Break(0, 5, 6, hole=True), Break(1, 4, 4, hole=False)]


def test_a_damaged_manifest_says_what_to_do(tmp_path):
    (tmp_path / "_manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArchiveDamagedError, match="restore it from a backup, or begin a new archive with"):
        load_manifest(tmp_path)


def test_an_archive_of_the_older_layout_says_what_to_do(tmp_path):
    (tmp_path / "_manifest.json").write_text('{"topic": "t", "files": []}', encoding="utf-8")
    with pytest.raises(
        ArchiveLayoutError, match="layout 1, this version reads 4; begin anew with `gamestream archive --begin-at"
    ):
        load_manifest(tmp_path)


def test_the_newest_time_goes_on_after_the_last_file():
    files = (file(0, 5, 9, newest_event_time=70), file(0, 0, 5, newest_event_time=60), file(1, 0, 3))
    assert Manifest(topic="t").extended(*files).newest_event_times == {0: 70, 1: None}


def test_what_a_crash_left_behind_is_removed_and_never_read(tmp_path):
    kept = file(0, 0, 5, path="chapter=1/0-0-4.parquet")
    (tmp_path / "chapter=1").mkdir()
    for name in (kept.path, "chapter=1/0-5-9.parquet", "chapter=1/1-0-3.parquet.new"):
        (tmp_path / name).write_bytes(b"x")
    assert remove_orphans(tmp_path, Manifest(topic="t").extended(kept), {0: 0, 1: 0}) == 2
    assert [path.name for path in tmp_path.rglob("*.parquet*")] == ["0-0-4.parquet"]


@pytest.mark.parametrize(
    ("orphan", "held"),
    [
        pytest.param("chapter=1/0-5-9.parquet", {0: 6}, id="Kafka no longer holds it"),
        pytest.param("chapter=1/0-5-9.parquet", None, id="the chapter is new"),
        pytest.param("chapter=2/0-5-9.parquet", {0: 0}, id="of a chapter that the manifest lacks"),
        pytest.param("chapter=1/0-3-9.parquet", {0: 0}, id="its beginning is archived"),
        pytest.param("chapter=1/notes.parquet", {0: 0}, id="not ours"),
    ],
)
def test_a_file_that_is_not_read_again_is_kept_aside(tmp_path, orphan, held):
    topic_dir = tmp_path / "t"
    (topic_dir / orphan).parent.mkdir(parents=True)
    (topic_dir / orphan).write_bytes(b"x")
    assert remove_orphans(topic_dir, Manifest(topic="t").extended(file(0, 0, 5)), held) == 0
    assert not list(topic_dir.rglob("*.parquet"))
    (kept,) = (tmp_path / "_set-aside").rglob("*.parquet")
    assert str(kept).endswith(orphan)


def test_files_without_a_manifest_are_an_archive_that_lost_it(tmp_path):
    (tmp_path / "chapter=1").mkdir()
    (tmp_path / "chapter=1" / "0-0-4.parquet").write_bytes(b"x")
    with pytest.raises(ArchiveDamagedError, match=r"_manifest.json is gone.*--begin-at earliest"):
        load_manifest(tmp_path)


def test_a_file_that_is_gone_is_named(tmp_path):
    import duckdb

    save_manifest(tmp_path, Manifest(topic="t").extended(file(3, 10, 20)))
    with duckdb.connect() as database, pytest.raises(ArchiveDamagedError, match=r"p3@10\.\.19"):
        open_archive(database, tmp_path)


def test_one_archiver_at_a_time(tmp_path):
    with (
        exclusive(tmp_path, timeout_seconds=1),
        pytest.raises(ArchiveBusyError, match="wait for it"),
        exclusive(tmp_path, timeout_seconds=0.05),
    ):
        pass
    with exclusive(tmp_path, timeout_seconds=0.05):
        pass


def test_positions_without_a_record_are_kept_as_gaps():
    assert _gaps(_Pending(from_offset=3, next_offset=12, offsets=[4, 5, 8, 9])) == ((3, 4), (6, 8), (10, 12))
    assert _gaps(_Pending(from_offset=4, next_offset=6, offsets=[4, 5])) == ()


def test_what_retention_took_is_named():
    with pytest.raises(TruncatedByRetentionError, match=r"p1@5\.\.6") as caught:
        _check_still_there("t", {0: 2, 1: 5}, {0: 9, 1: 9}, {0: 0, 1: 7}, {0: 9, 1: 9})
    assert caught.value.ranges == {1: (5, 7)}
    # Archived before it was dropped: nothing is lost.
    _check_still_there("t", {0: 7}, {0: 9}, {0: 7}, {0: 9})


@pytest.mark.parametrize("millis", [-1, 0, 253_402_300_800_000, 2**62])
def test_a_record_of_any_kafka_time_is_archived(tmp_path, millis):
    raw = Raw([0], [millis], [b"k"], [b"{}"])
    run = ArchiveRun("t", tmp_path, Manifest(topic="t").opened(Chapter()), {0: 0})
    run.take(0, raw, 1, decoding(SCORES))
    run.finish()
    assert (tmp_path / run.manifest.files[0].path).is_file()

"""Chapters of the archive: which incarnation of the topic each is of, where it begins, and migrated archives."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gamestream_dagster.archive import digests, incarnation
from gamestream_dagster.archive.digests import damage, sha256_of
from gamestream_dagster.archive.errors import (
    ArchiveDamagedError,
    ArchiveForgedError,
    ArchiveLayoutError,
    IdentityUnknownError,
    TopicRecreatedError,
)
from gamestream_dagster.archive.incarnation import (
    Evidence,
    TopicNow,
    begun_anew,
    chapter_for,
    compare_records,
    same_incarnation,
)
from gamestream_dagster.archive.manifest import Adoption, ArchivedFile, Chapter, Manifest, Replaced
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.archive.migrating import load_or_set_aside, load_to_write
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.clients.topic_identity import TopicId
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS

FIRST, SECOND = TopicId("first"), TopicId("second")


def file(path: str, start: int = 0, end: int = 5, digest: str | None = None) -> ArchivedFile:
    return ArchivedFile(
        path=path,
        sha256=hashlib.sha256(b"x").hexdigest() if digest is None else digest,
        partition=0,
        from_offset=start,
        first_offset=start,
        last_offset=end - 1,
        next_offset=end,
        records=end - start,
        rows=end - start,
        gaps=(),
    )


def now(topic_id: TopicId | None, beginning: int = 0, end: int = 9) -> TopicNow:
    return TopicNow("t", "nowhere:1", topic_id, {0: beginning}, {0: end})


def of(topic_id: TopicId | None, *files: ArchivedFile) -> Manifest:
    return Manifest(topic="t").opened(Chapter(topic_id_then=topic_id)).extended(*files)


def evidence(monkeypatch: pytest.MonkeyPatch, found: Evidence) -> None:
    monkeypatch.setattr(incarnation, "compare_records", lambda *_: found)


def test_the_same_topic_goes_on_and_another_one_begins_a_chapter(tmp_path: Path):
    assert chapter_for(tmp_path, Manifest(topic="t"), now(FIRST)).current.topic_id == FIRST
    kept = of(FIRST, file("a"))
    assert chapter_for(tmp_path, kept, now(FIRST)) is kept
    # Longer than the archive, so that no offset tells the two apart.
    anew = chapter_for(tmp_path, kept, now(SECOND, end=100))
    assert [chapter.topic_id for chapter in anew.chapters] == [FIRST, SECOND]
    assert anew.files == ()
    assert anew.current.next_offset(0) == 0
    assert anew.chapters[0].files == kept.files


@pytest.mark.parametrize(
    ("found", "chapters", "topic_id"), [(Evidence.SAME, 1, FIRST), (Evidence.OTHER, 2, FIRST), (Evidence.NONE, 0, None)]
)
def test_an_archive_without_an_id_is_adopted_by_its_records_alone(tmp_path, monkeypatch, found, chapters, topic_id):
    evidence(monkeypatch, found)
    old = of(None, file("a"))
    if not chapters:
        with pytest.raises(IdentityUnknownError, match="--begin-at earliest"):
            chapter_for(tmp_path, old, now(FIRST))
        return
    made = chapter_for(tmp_path, old, now(FIRST))
    assert (len(made.chapters), made.current.topic_id) == (chapters, topic_id)
    assert made.chapters[0].topic_id == (FIRST if found is Evidence.SAME else None)


def test_a_broker_without_ids_is_judged_by_records(tmp_path, monkeypatch):
    evidence(monkeypatch, Evidence.SAME)
    kept = of(None, file("a"))
    assert chapter_for(tmp_path, kept, now(None)) is kept
    evidence(monkeypatch, Evidence.OTHER)
    assert len(chapter_for(tmp_path, kept, now(None)).chapters) == 2


def test_a_chapter_is_not_mended_from_another_topic(tmp_path, monkeypatch):
    same_incarnation(tmp_path, of(FIRST).current, now(FIRST))
    with pytest.raises(TopicRecreatedError, match="first, Kafka has second"):
        same_incarnation(tmp_path, of(FIRST).current, now(SECOND))
    evidence(monkeypatch, Evidence.NONE)
    with pytest.raises(IdentityUnknownError):
        same_incarnation(tmp_path, of(None, file("a")).current, now(SECOND))


def test_a_new_beginning_records_what_is_gone():
    anew = begun_anew(of(FIRST, file("a", end=5)), now(FIRST, beginning=7), "why")
    assert anew.current.begins == {0: 7}
    assert [(one.first_offset, one.next_offset) for one in anew.current.lost] == [(5, 7)]
    assert anew.current.next_offset(0) == 7
    nothing = begun_anew(Manifest(topic="t"), now(FIRST, beginning=7), "why")
    assert [(one.first_offset, one.next_offset) for one in nothing.current.lost] == [(0, 7)]
    other = begun_anew(of(FIRST, file("a", end=5)), now(SECOND, beginning=7), "why")
    assert [(one.first_offset, one.next_offset) for one in other.current.lost] == [(0, 7)]
    assert begun_anew(of(FIRST, file("a")), now(FIRST), "why").current.lost == ()


def test_the_first_file_of_a_chapter_cannot_be_lost_unseen():
    manifest = Manifest(topic="t").opened(Chapter(begins={0: 3})).extended(file("b", 5, 9))
    assert [(one.first_offset, one.last_offset, one.hole) for one in manifest.breaks()] == [(3, 4, True)]


def test_each_entry_pins_the_one_before(tmp_path: Path):
    manifest = of(FIRST, file("a"), file("b", 5, 9)).opened(Chapter(topic_id_then=SECOND)).extended(file("c"))
    save_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest
    stored = json.loads((tmp_path / "_manifest.json").read_text())
    stored["chapters"][0]["entries"][0]["records"] = 4
    (tmp_path / "_manifest.json").write_text(json.dumps(stored))
    with pytest.raises(ArchiveDamagedError, match="its entry b does not follow"):
        load_manifest(tmp_path)


def test_a_head_stays_known_while_the_log_grows():
    early = of(FIRST, file("a"))
    late = early.extended(Replaced(path="a"), file("a2"), Adoption(topic_id=FIRST, evidence="e"))
    late = late.opened(Chapter(topic_id_then=SECOND)).extended(file("c"))
    assert late.chapter_pinned_by(early.head) == 0
    assert late.chapter_pinned_by(late.head) == 1
    assert early.chapter_pinned_by(late.head) is None
    assert [one.path for one in late.chapters[0].files] == ["a2"]


def test_a_changed_file_is_found_though_its_time_was_put_back(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    path = tmp_path / "a"
    path.write_bytes(b"x")
    kept = path.stat()
    assert damage(tmp_path, file("a")) is None
    path.write_bytes(b"y")
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert "was changed after it was written" in (damage(tmp_path, file("a")) or "")
    path.unlink()
    assert damage(tmp_path, file("a")) == "is gone"


def test_a_file_is_hashed_once_in_a_process(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    (tmp_path / "a").write_bytes(b"x")
    digest = sha256_of(tmp_path / "a")
    monkeypatch.setattr(digests.hashlib, "file_digest", None)
    assert sha256_of(tmp_path / "a") == digest


def test_an_older_archive_is_migrated_in_place(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, rows in (("a", 5), ("b", 3)):
        pq.write_table(pa.table({"offset": list(range(rows))}), tmp_path / name)
    old = [
        file("a").model_dump(exclude={"sha256", "before", "kind"}),
        file("b", 5, 9).model_dump(exclude={"sha256", "before", "kind"}),
    ]
    (tmp_path / "_manifest.json").write_text(json.dumps({"topic": "t", "layout": 2, "files": old}))
    with pytest.raises(ArchiveLayoutError, match="migrate it in place with `gamestream archive`"):
        load_manifest(tmp_path)
    migrated = load_to_write(tmp_path)
    assert load_manifest(tmp_path) == migrated
    assert migrated.current.topic_id is None
    assert migrated.archived_upto == {0: 9}
    assert damage(tmp_path, migrated.files[0]) is None
    assert damage(tmp_path, migrated.files[1]) == "was damaged before the archive kept digests"


def test_an_archive_that_cannot_be_used_is_kept_aside(tmp_path: Path):
    folder = tmp_path / "user-score"
    folder.mkdir()
    (folder / "_manifest.json").write_text("{")
    (folder / "0-0-4.parquet").write_bytes(b"x")
    manifest, aside = load_or_set_aside(folder)
    assert manifest.chapters == ()
    assert aside is not None
    assert sorted(path.name for path in aside.iterdir()) == ["0-0-4.parquet", "_manifest.json"]
    assert list(folder.iterdir()) == []


def test_a_forged_file_is_never_opened(tmp_path: Path):
    import duckdb

    (tmp_path / "a").write_bytes(b"forged")
    save_manifest(tmp_path, of(FIRST, file("a")))
    with duckdb.connect() as database, pytest.raises(ArchiveForgedError, match=r"a \(p0@0\.\.4\) was changed"):
        open_archive(database, tmp_path)


def test_a_log_that_was_written_anew_has_not_grown_from_what_a_run_was_judged_by() -> None:
    then = datetime(2026, 11, 25, 12, tzinfo=UTC)
    judged = of(FIRST, file("a"))
    assert judged.extended(file("b", 5, 9)).grew_from(judged.head, then)
    forged = of(FIRST, file("a", digest="0" * 64))
    assert forged.broken_link() is None
    assert not forged.grew_from(judged.head, then)
    begun = forged.opened(Chapter(topic_id_then=FIRST, opened_at="2026-11-25T12:00:01+00:00"))
    assert begun.grew_from(judged.head, then), "what was before the new chapter is not judged by"


ADDRESSED = (
    b'{"event_id":"e","user_id":"u","event_type":"player_join","event_time":1700000000000,"ip_address":"203.0.113.9"}'
)


@pytest.mark.parametrize(
    ("at", "key", "found"),
    [
        (1_700_000_000_000, b"key", Evidence.SAME),
        (1_700_000_000_001, b"key", Evidence.OTHER),
        (1_700_000_000_000, b"other", Evidence.OTHER),
        (1_700_000_000_000, None, Evidence.OTHER),
    ],
)
def test_an_event_kept_without_its_bytes_is_compared_by_time_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, key: bytes | None, found: Evidence
) -> None:
    manifest = write_records(tmp_path, GAME_EVENTS, [(ADDRESSED, 1_700_000_000_000)])
    read = Chunk(0, Raw([0], [at], [key], [ADDRESSED]), 1)
    monkeypatch.setattr(incarnation, "read_range", lambda *_: [read])
    assert compare_records(tmp_path, manifest.current, now(FIRST)) is found


@pytest.mark.parametrize(("kept", "now_there"), [(b"\xff", b"\xfe"), (None, b"{}"), (b"{}", None)])
def test_a_refused_event_is_compared_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes | None, now_there: bytes | None
) -> None:
    manifest = write_records(tmp_path, GAME_EVENTS, [(kept, 5)])
    for value, found in ((now_there, Evidence.OTHER), (kept, Evidence.SAME)):
        read = Chunk(0, Raw([0], [5], [b"key"], [value]), 1)
        monkeypatch.setattr(incarnation, "read_range", lambda *_, read=read: [read])
        assert compare_records(tmp_path, manifest.current, now(FIRST)) is found

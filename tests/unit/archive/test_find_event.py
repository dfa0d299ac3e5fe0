"""An event is found by its id: the index covers what is archived, stays small, and only the files are believed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from gamestream_dagster.archive import find, id_index
from gamestream_dagster.archive.errors import ArchiveForgedError, IndexUnusableError
from gamestream_dagster.archive.find import find_event
from gamestream_dagster.archive.id_index import STATE, index_archive, index_folder, load_index, try_to_index
from gamestream_dagster.archive.manifest import Chapter, Manifest, Replaced
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.archive.writer import ArchiveResult
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.components.archived_topics import describe_archive
from gamestream_dagster.resources.reconciliation import Holdings
from gamestream_dagster.settings import Settings
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS, SCORES

NOW = 1_700_000_000_000


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def game_event(event_id: str, **changes: object) -> bytes:
    fields = {"event_id": event_id, "user_id": "ann", "event_type": "player_join", "event_time": NOW, "properties": {}}
    return orjson.dumps(fields | changes)


def score(event_id: str | None) -> bytes:
    fields = {"user_id": "ann", "team_id": "t", "team_name": "T", "score": 4, "event_time_millis": NOW}
    return orjson.dumps(fields | {"event_id": event_id})


def write(settings: Settings, source: Source, *values: bytes | None, partition: int = 0) -> Manifest:
    folder = settings.archive_dir / source.topic
    return write_records(
        folder, source, [(value, NOW + place) for place, value in enumerate(values)], partition=partition
    )


def places(settings: Settings, event_id: str) -> list[tuple[str, int, int]]:
    return [(one.topic, one.partition, one.offset) for one in find_event(settings, event_id).records]


def indexed(settings: Settings) -> Sequence[id_index.Segment]:
    return load_index(index_folder(settings, RAW_TOPIC)).segments


def test_an_event_is_found_in_every_topic_accepted_or_refused(own: Settings) -> None:
    write(own, GAME_EVENTS, game_event("a"), b"\xff", game_event("b", event_type="nothing"), None)
    write(own, GAME_EVENTS, game_event("a", user_id="bob"), partition=3)
    write(own, SCORES, score("a"), score(None), score(""))
    found = find_event(own, "a")
    assert places(own, "a") == [("user-score", 0, 0), (RAW_TOPIC, 0, 0), (RAW_TOPIC, 3, 0)]
    assert not found.more
    [_, first, second] = found.records
    assert (first.user_id, first.event_type, first.reason, first.kafka_timestamp) == ("ann", "player_join", None, NOW)
    assert (second.user_id, second.chapter, second.current) == ("bob", 1, True)
    assert first.file.is_file()
    [refused] = find_event(own, "b").records
    assert (refused.offset, refused.reason, refused.event_type) == (2, "UNKNOWN_EVENT_TYPE", None)
    assert places(own, "none such") == places(own, "") == []


def test_nothing_archived_is_nothing_found(own: Settings) -> None:
    assert places(own, "a") == []
    assert not (own.archive_dir / RAW_TOPIC).exists(), "a question leaves no folder of an archive behind"


def test_what_was_archived_since_is_found(own: Settings) -> None:
    write(own, GAME_EVENTS, game_event("a"))
    assert places(own, "b") == []
    write(own, GAME_EVENTS, game_event("b"))
    assert places(own, "b") == [(RAW_TOPIC, 0, 1)]


def test_segments_stay_few_and_none_is_left_behind(own: Settings) -> None:
    for number in range(24):
        write(own, GAME_EVENTS, game_event(f"e{number}"), game_event("again"))
        assert index_archive(own, RAW_TOPIC) == []
    segments = indexed(own)
    assert sum(one.rows for one in segments) == 48
    assert len(segments) <= 6
    folder = index_folder(own, RAW_TOPIC)
    assert {path.name for path in folder.glob("*.parquet*")} == {one.name for one in segments}
    for number in (0, 11, 23):
        assert places(own, f"e{number}") == [(RAW_TOPIC, 0, 2 * number)]
    assert len(places(own, "again")) == 24


def test_full_segments_are_not_merged(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_index, "SEGMENT_ROWS", 4)
    monkeypatch.setattr(id_index, "_BATCH_ROWS", 2)
    for number in range(12):
        write(own, GAME_EVENTS, game_event(f"e{number}"))
    index_archive(own, RAW_TOPIC)
    assert [one.rows for one in indexed(own)] == [4, 4, 4]
    assert places(own, "e11") == [(RAW_TOPIC, 0, 11)]


def test_an_update_that_is_cut_short_goes_on(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        write(own, GAME_EVENTS, game_event(f"e{number}"))
    real, calls = id_index._written, []

    def crash(*arguments: object) -> id_index.Segment:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(id_index, "_BATCH_ROWS", 1)
        patched.setattr(id_index, "_written", crash)
        with pytest.raises(KeyboardInterrupt):
            index_archive(own, RAW_TOPIC)
    assert [places(own, f"e{number}") for number in range(4)] == [[(RAW_TOPIC, 0, number)] for number in range(4)]
    assert sum(one.rows for one in indexed(own)) == 4


@pytest.mark.parametrize("damage", ["state", "segment", "shorter", "all"])
def test_a_damaged_index_is_built_again(own: Settings, damage: str) -> None:
    write(own, GAME_EVENTS, game_event("a"), game_event("b"))
    index_archive(own, RAW_TOPIC)
    folder = index_folder(own, RAW_TOPIC)
    [segment] = folder.glob("*.parquet")
    match damage:
        case "state":
            (folder / STATE).write_bytes(b"{")
        case "segment":
            segment.unlink()
        case "shorter":
            segment.write_bytes(segment.read_bytes()[:-1])
        case _:
            for path in folder.iterdir():
                path.unlink()
    assert places(own, "b") == [(RAW_TOPIC, 0, 1)]


def test_a_damaged_file_is_never_no_answer(own: Settings) -> None:
    manifest = write(own, GAME_EVENTS, game_event("a"))
    write(own, GAME_EVENTS, game_event("b"))
    path = own.archive_dir / RAW_TOPIC / manifest.files[0].path
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + b"x")
    with pytest.raises(ArchiveForgedError, match="gamestream archive --mend"):
        find_event(own, "z")  # it was never indexed: who knows what it held
    [(chapter, file)] = index_archive(own, RAW_TOPIC)
    assert (chapter, file.path) == (1, manifest.files[0].path)
    path.write_bytes(kept)
    assert places(own, "a") == [(RAW_TOPIC, 0, 0)]
    path.unlink()
    assert places(own, "b") == [(RAW_TOPIC, 0, 1)], "another file answers"
    with pytest.raises(ArchiveForgedError, match="is gone"):
        find_event(own, "a")


def test_a_mended_range_is_found_once(own: Settings) -> None:
    manifest = write(own, GAME_EVENTS, game_event("a"), game_event("b"))
    index_archive(own, RAW_TOPIC)
    folder = own.archive_dir / RAW_TOPIC
    damaged = manifest.files[0]
    save_manifest(folder, manifest.extended(Replaced(path=damaged.path)))
    (folder / damaged.path).unlink()
    assert places(own, "a") == [], "not archived any more, until the range is read again"
    write(own, GAME_EVENTS, game_event("a"), game_event("b"))
    assert places(own, "a") == [(RAW_TOPIC, 0, 0)]


def test_chapters_are_told_apart(own: Settings) -> None:
    write(own, GAME_EVENTS, game_event("a"))
    folder = own.archive_dir / RAW_TOPIC
    save_manifest(folder, load_manifest(folder).opened(Chapter(reason="the topic was created again")))
    write(own, GAME_EVENTS, game_event("a"))
    told = [(one.chapter, one.offset, one.current) for one in find_event(own, "a").records]
    assert told == [(1, 0, False), (2, 0, True)]


def test_an_archive_that_was_set_aside_is_forgotten(own: Settings) -> None:
    write(own, GAME_EVENTS, game_event("a"))
    index_archive(own, RAW_TOPIC)
    (own.archive_dir / RAW_TOPIC).rename(own.archive_dir / "_set-aside")
    assert places(own, "a") == []
    write(own, GAME_EVENTS, game_event("b"))
    assert places(own, "a") == []
    assert places(own, "b") == [(RAW_TOPIC, 0, 0)]


def test_ids_that_share_a_digest_are_told_apart(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    same = id_index._NEW.replace("md5_number_lower(event_id)", "7::UBIGINT")
    monkeypatch.setattr(id_index, "_NEW", same)
    monkeypatch.setattr(
        id_index, "_LOOKUP", id_index._LOOKUP.replace("md5_number_lower($event_id)", "7 + 0 * len($event_id)")
    )
    write(own, GAME_EVENTS, game_event("a"), game_event("b"))
    assert places(own, "b") == [(RAW_TOPIC, 0, 1)]


def test_a_repeated_id_is_bounded_and_says_so(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(own, GAME_EVENTS, *[game_event("a")] * 5)
    monkeypatch.setattr(find, "MOST_RECORDS", 4)
    assert (len(find_event(own, "a").records), find_event(own, "a").more) == (4, True)
    monkeypatch.setattr(find, "MOST_RECORDS", 5)
    assert (len(find_event(own, "a").records), find_event(own, "a").more) == (5, False)
    write(own, GAME_EVENTS, game_event("a"))
    monkeypatch.setattr(find, "MOST_FILES", 1)
    assert find_event(own, "a").more


@pytest.mark.parametrize("event_id", ["'; DROP TABLE x --", "é\U0001f600", "a" * 200, "%", "\\", "\x7f"])
def test_any_id_is_found(own: Settings, event_id: str) -> None:
    write(own, GAME_EVENTS, game_event("a"), game_event(event_id))
    assert places(own, event_id) == [(RAW_TOPIC, 0, 1)]


def test_the_index_holds_no_id(own: Settings) -> None:
    write(own, GAME_EVENTS, game_event("somebody@example.com"))
    index_archive(own, RAW_TOPIC)
    for path in index_folder(own, RAW_TOPIC).iterdir():
        assert b"somebody" not in path.read_bytes()


def test_readers_find_everything_while_segments_are_merged(own: Settings) -> None:
    write(own, GAME_EVENTS, game_event("a"))
    done, missed = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            if not places(own, "a"):
                missed.append("a")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(15):
            write(own, GAME_EVENTS, game_event(f"e{number}"))
            index_archive(own, RAW_TOPIC)
    finally:
        done.set()
        reader.join(30)
    assert missed == []


@pytest.mark.parametrize("event_id", ["\ud800", "a\0b", "\0"])
def test_an_id_that_no_event_can_have_is_not_found(own: Settings, event_id: str) -> None:
    write(own, GAME_EVENTS, game_event("a"))
    assert places(own, event_id) == []


def test_what_stands_in_the_way_of_the_index_is_said_and_hurts_no_archive(own: Settings) -> None:
    write(own, GAME_EVENTS, game_event("a"))
    folder = index_folder(own, RAW_TOPIC)
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"a file where the folder should be")
    said = try_to_index(own, RAW_TOPIC) or ""
    assert "cannot be used" in said
    assert str(folder) in said
    with pytest.raises(IndexUnusableError):
        find_event(own, "a")
    folder.unlink()
    assert try_to_index(own, RAW_TOPIC) is None, "as the sentence advises"
    assert places(own, "a") == [(RAW_TOPIC, 0, 0)]


def test_damaged_files_are_said(own: Settings) -> None:
    [file] = write(own, GAME_EVENTS, game_event("a")).files
    (own.archive_dir / RAW_TOPIC / file.path).unlink()
    assert "1 damaged files are not in the index" in (try_to_index(own, RAW_TOPIC) or "")


def test_an_archive_and_its_asset_say_what_is_not_indexed() -> None:
    result = ArchiveResult(RAW_TOPIC, {0: 0}, {0: 1}, 1, 0, 1, 0, 0.5, not_indexed="The disk is full.")
    assert describe_archive(result, Holdings(1, 1, 1))["not_indexed"] == "The disk is full."
    assert "not_indexed" not in describe_archive(replace(result, not_indexed=None), Holdings(1, 1, 1))

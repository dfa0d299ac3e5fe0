"""Backfill: a file's events are in the history once, whatever happens on the way."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
import zstandard

from gamestream_dagster.archive import backfill as module
from gamestream_dagster.archive import history_files, history_staging
from gamestream_dagster.archive.backfill import BackfillResult, backfill
from gamestream_dagster.archive.backfill_files import file_to_backfill
from gamestream_dagster.archive.errors import ArchiveBusyError, ArchiveDamagedError, ArchiveForgedError
from gamestream_dagster.archive.find import find_event
from gamestream_dagster.archive.history import (
    HISTORY,
    date_of,
    files_of,
    history_columns,
    history_folder,
    history_source,
    load_runs,
)
from gamestream_dagster.archive.manifest_file import MANIFEST, exclusive, load_manifest
from gamestream_dagster.archive.provenance import rules_digest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.refused_lines import RefusedLine
from gamestream_dagster.events.file_lines import ReadingError
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.settings import Settings
from tests.support.game_event_cases import all_cases

DAY = 86_400_000
NOW = 1_700_000_000_000  # 2023-11-14
THEN = 1_577_836_800_000  # 2020-01-01
ADDRESS = "81.2.69.142"  # Great Britain


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def event(event_id: str, at: int = THEN, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": "ann", "event_type": "player_join", "event_time": at, **changes}


def write(path: Path, *events: Any) -> Path:
    path.write_bytes(b"\n".join(one if isinstance(one, bytes) else orjson.dumps(one) for one in events) + b"\n")
    return path


def run(own: Settings, path: Path, **more: Any) -> BackfillResult:
    with file_to_backfill(str(path), by="an operator", rejects=path.with_suffix(".rejects")) as origin:
        return backfill(own, origin, now_ms=NOW, **more)


def rows(own: Settings, columns: str = "event_id", where: str = "true") -> list[Any]:
    source = history_source(own)
    with duckdb.connect() as database:
        open_archive(database, history_folder(own), own_columns=history_columns(source))
        found = database.execute(
            f'SELECT {columns} FROM archive WHERE {where} ORDER BY "partition", "offset"'
        ).fetchall()
    return [row[0] if len(row) == 1 else row for row in found]


def left_behind(own: Settings) -> list[str]:
    """Files in the archive's folder that the manifest does not name."""
    named = {file.path for file in load_manifest(history_folder(own)).files}
    found = {str(path.relative_to(history_folder(own))) for path in history_folder(own).rglob("*.parquet*")}
    staged = own.archive_dir / "_staging" / HISTORY
    return sorted(found - named) + (sorted(map(str, staged.iterdir())) if staged.is_dir() else [])


def test_events_lie_under_their_dates_whatever_their_order(own: Settings, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", event("b", THEN + DAY), event("a"), event("d", THEN + 2 * DAY - 1), event("c", THEN - 1)
    )
    result = run(own, path)
    assert (result.events, result.accepted, result.copies, result.refused, result.rejects) == (4, 4, 0, Counter(), None)
    assert result.days == ("2019-12-31", "2020-01-01", "2020-01-02")
    assert rows(own) == ["c", "a", "b", "d"]
    manifest = load_manifest(history_folder(own))
    assert manifest.breaks() == []
    [file] = files_of(manifest.current, date_of(THEN // DAY + 1))
    assert "date=2020-01-02/" in file.path
    assert rows(own, '"partition", "offset", line, kafka_timestamp', "event_id = 'd'") == [
        (18263, 1, 3, THEN + 2 * DAY - 1)
    ]
    assert left_behind(own) == []


def test_rows_are_judged_and_enriched_as_intake_does(own: Settings, tmp_path: Path) -> None:
    plain = event("a", device_model="iPhone14,5", country="DE")
    path = write(tmp_path / "a.jsonl", plain, event("b", ip_address=ADDRESS), event("c", THEN, event_type="2001",
        properties={"item": "sword", "price": 4.50, "currency": "EUR"}))  # fmt: skip
    run(own, path)
    columns = "country, geo_version, device_category, device_tier, late, reason, outcome, value, run, properties"
    a, b, c = rows(own, columns)
    version = load_runs(own)[0].geo_version
    assert a[:8] == ("DE", None, "phone", "high", False, None, "accepted", orjson.dumps(plain))
    assert b[:5] == ("GB", version, "unknown", "unknown", False)
    assert b[7] is None, "the bytes hold an address"
    assert c[0] == "unknown"
    assert c[9] == '{"currency":"EUR","item":"sword","price":"4.5"}'
    assert {row[8] for row in (a, b, c)} == {load_runs(own)[0].run}
    assert ADDRESS.encode() not in b"".join(path.read_bytes() for path in own.archive_dir.rglob("*.parquet"))


def test_every_case_of_the_rule_is_decided_as_the_judge_says(own: Settings, tmp_path: Path) -> None:
    cases = [case.value for case in all_cases() if case.value and b"\n" not in case.value and len(case.value) < 50_000]
    path = write(tmp_path / "cases.jsonl", *cases)
    told: list[RefusedLine] = []
    run(own, path, on_refused=told.append)
    judge = GameEventJudge()
    refused = {one.line: one.reason for one in told}
    archived = dict(rows(own, "line, digest"))
    for line, value in enumerate(cases, 1):
        if not value.strip():
            continue
        outcome = judge.judge(value.strip(b" \t\r\n"), NOW)
        if line in archived:
            assert isinstance(outcome, GameEvent) or outcome.reason == "TOO_OLD"
            if isinstance(outcome, GameEvent):
                assert archived[line] == outcome.digest
        elif refused.get(line) not in {None, "DUP_CONFLICT"}:
            assert not isinstance(outcome, GameEvent)
            assert refused[line] == outcome.reason or outcome.reason == "TOO_OLD"
    assert len(cases) > 1000


def test_old_is_history_and_the_future_is_not(own: Settings, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        event("old", 978_307_200_000),
        event("soon", NOW + 3_600_000),
        event("later", NOW + 3_600_001),
    )
    told: list[RefusedLine] = []
    assert run(own, path, on_refused=told.append).accepted == 2
    assert [(one.line, one.reason, one.field) for one in told] == [(3, "FUTURE_TIMESTAMP", "event_time")]
    # its time has come
    with file_to_backfill(str(path), by="me", rejects=tmp_path / "r") as origin:
        again = backfill(own, origin, now_ms=NOW + 10)
    assert (again.same_as, again.accepted, again.copies) == (None, 1, 2)


def test_refused_lines_are_told_and_kept(own: Settings, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", event("a"), b"{", b"", event("b", user_id=None), b'{"event_id":"\xff"}', event("c")
    )
    told: list[RefusedLine] = []
    result = run(own, path, on_refused=told.append)
    assert [(one.line, one.reason) for one in told] == [(2, "NOT_JSON"), (4, "MISSING_FIELD"), (5, "NOT_UTF8")]
    assert (result.events, result.accepted, dict(result.refused)) == (
        5,
        2,
        {"NOT_JSON": 1, "MISSING_FIELD": 1, "NOT_UTF8": 1},
    )
    assert result.rejects is not None
    first, second, third = map(orjson.loads, result.rejects.read_bytes().splitlines())
    assert first["event"] == "{"
    assert (second["line"], second["field"], orjson.loads(second["event"])["event_id"]) == (4, "user_id", "b")
    assert base64.b64decode(third["base64"]) == b'{"event_id":"\xff"}'
    assert load_runs(own)[0].refused == dict(result.refused)


def test_provenance(own: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", event("a"), event("a"))
    result = run(own, path)
    [told] = load_runs(own)
    assert (told.run, told.at, told.by, told.name) == (result.run, "2023-11-14T22:13:20Z", "an operator", "a.jsonl")
    assert told.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (told.rules_version, told.rules) == (1, rules_digest())
    assert (told.events, told.accepted, told.copies, told.days) == (2, 1, 1, ("2020-01-01",))
    manifest = history_folder(own) / MANIFEST
    run(own, write(tmp_path / "b.jsonl", event("b")))
    manifest.write_bytes(manifest.read_bytes().replace(b"an operator", b"someone else", 1))
    with pytest.raises(ArchiveDamagedError, match="changed by hand"):
        load_runs(own)


def test_the_same_file_twice_counts_once(own: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *(event(f"e{number}", THEN + number) for number in range(100)))
    first = run(own, path)
    again = run(own, path)
    assert again.same_as is not None
    assert (again.same_as.run, again.accepted, again.files) == (first.run, 0, 0)
    assert len(load_runs(own)) == 1
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    other = run(own, packed)
    assert (other.same_as, other.accepted, other.copies, other.files) == (None, 0, 100, 0)
    assert len(rows(own)) == 100


def test_an_id_counts_once_and_other_content_is_a_conflict(own: Settings, tmp_path: Path) -> None:
    first = write(
        tmp_path / "a.jsonl",
        event("a"),
        event("a", THEN + 1),
        event("a"),
        event("a", user_id="bob"),
        event("a", country="DE"),
    )
    told: list[RefusedLine] = []
    result = run(own, first, on_refused=told.append)
    assert (result.accepted, result.copies, dict(result.refused)) == (2, 2, {"DUP_CONFLICT": 1})
    assert [(one.line, one.reason) for one in told] == [(2, "DUP_CONFLICT")]
    assert result.rejects is not None
    assert orjson.loads(orjson.loads(result.rejects.read_bytes())["event"])["event_time"] == THEN + 1
    # the history comes before the file, on whatever day
    second = write(tmp_path / "b.jsonl", event("b"), event("a", THEN + 5 * DAY), event("a", THEN + 5 * DAY), event("a"))
    result = run(own, second)
    assert (result.accepted, result.copies, dict(result.refused)) == (1, 1, {"DUP_CONFLICT": 2})
    assert rows(own, "event_id, user_id, line") == [("a", "ann", 1), ("a", "bob", 4), ("b", "ann", 1)]
    health = {
        "event_type": "server_health",
        "region": "EU",
        "properties": {"server_id": "s", "latency_ms": 1, "error_rate": 0},
    }
    third = write(tmp_path / "c.jsonl", *(event("h", user_id=None, **health) for _ in range(2)))
    assert (run(own, third).copies, len(rows(own, where="user_id IS NULL"))) == (1, 1)


def test_a_later_file_adds_to_its_days(own: Settings, tmp_path: Path) -> None:
    run(own, write(tmp_path / "a.jsonl", event("a"), event("b", THEN + DAY)))
    run(own, write(tmp_path / "b.jsonl", event("c"), event("d", THEN + 9 * DAY)))
    assert rows(own, 'event_id, "offset"') == [("a", 0), ("c", 1), ("b", 0), ("d", 0)]
    assert load_manifest(history_folder(own)).breaks() == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lambda data: data])
@pytest.mark.parametrize("layout", ["lines", "array", "pretty"])
def test_files_of_every_kind(own: Settings, tmp_path: Path, pack: Any, layout: str) -> None:
    events = [event(f"e{number}") for number in range(5)]
    text = "\n".join(map(json.dumps, events))
    if layout != "lines":
        text = json.dumps(events, indent=2 if layout == "pretty" else None)
    path = tmp_path / "events"
    path.write_bytes(pack(text.encode()))
    assert run(own, path).accepted == 5
    assert rows(own, "event_id, line")[2] == ("e2", {"lines": 3, "array": 1, "pretty": 14}[layout])


def test_standard_input(own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = orjson.dumps(event("a")) + b"\n"
    for round_ in range(2):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(zstandard.compress(data))))
        with file_to_backfill("-", by="me", rejects=tmp_path / "r") as origin:
            result = backfill(own, origin, now_ms=NOW)
        assert (result.accepted, result.same_as is not None) == (1 - round_, bool(round_))
    assert load_runs(own)[0].name == "standard input"


@pytest.mark.parametrize("spoil", [lambda data: data[:-9], lambda data: data + b"junk"])
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_half_a_file_adds_nothing(own: Settings, tmp_path: Path, pack: Any, spoil: Any) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(spoil(pack(b"\n".join(orjson.dumps(event(f"e{number}")) for number in range(50)))))
    with pytest.raises(ReadingError, match="whole"):
        run(own, path)
    assert load_runs(own) == rows(own) == []
    path.write_bytes(pack(orjson.dumps(event("a"))))
    assert run(own, path).accepted == 1
    assert left_behind(own) == []


def test_a_file_that_changes_adds_nothing(own: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", event("a"))
    with file_to_backfill(str(path), by="me", rejects=tmp_path / "r") as origin:
        with path.open("ab") as file:
            file.write(orjson.dumps(event("b")))
        with pytest.raises(ReadingError, match="changed while it was read"):
            backfill(own, origin, now_ms=NOW)
    assert rows(own) == []


def test_a_file_without_events_adds_nothing(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"\n \n")
    with pytest.raises(ReadingError, match=r"empty.jsonl has no events"):
        run(own, tmp_path / "empty.jsonl")
    assert load_runs(own) == []


def test_files_that_cannot_be_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", event("a"))
    with pytest.raises(ReadingError, match="cannot be read"), file_to_backfill(str(tmp_path), by="x", rejects=path):
        pass
    with pytest.raises(ReadingError, match="would overwrite"), file_to_backfill(str(path), by="x", rejects=path):
        pass


def test_many_small_files_and_stages_hold_the_same_rows(
    own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH_EVENTS", 7)
    monkeypatch.setattr(history_staging, "STAGED_ROWS", 20)
    monkeypatch.setattr(history_files, "FILE_ROWS", 30)
    events = [event(f"e{number}", THEN + (number * 37 % 3) * DAY) for number in range(300)]
    result = run(own, write(tmp_path / "a.jsonl", *events, *events[::2]))
    assert (result.accepted, result.copies) == (300, 150)
    assert result.files == 9
    assert load_manifest(history_folder(own)).breaks() == []
    assert rows(own) == [one["event_id"] for day in range(3) for one in events if one["event_time"] == THEN + day * DAY]


def test_killed_anywhere_and_run_again_there_is_neither_hole_nor_double(
    own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event(f"e{number}", THEN + number % 4 * DAY) for number in range(40)]
    path = write(tmp_path / "a.jsonl", *events)
    run(own, write(tmp_path / "before.jsonl", event("before")))
    for place, name, first in (
        (module.Staging, "add", True),
        (module.Staging, "find_copies", True),
        (module.DayFiles, "_file", True),
        (module, "save_manifest", False),
    ):
        called = getattr(place, name)

        def die(*arguments: Any, called: Any = called, first: bool = first) -> None:
            if first:
                called(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(place, name, die)
            with pytest.raises(KeyboardInterrupt):
                run(own, path)
        assert rows(own) == ["before"], name
    assert run(own, path).accepted == 40
    assert sorted(rows(own)) == sorted(["before", *(one["event_id"] for one in events)])
    assert left_behind(own) == []
    assert not (own.archive_dir / "_set-aside").exists()


def test_killed_for_real(own: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *(event(f"e{number}", THEN + number % 3 * DAY) for number in range(30)))
    script = """
        import os, signal, sys
        from pathlib import Path
        from gamestream_dagster.archive import backfill as module
        from gamestream_dagster.archive.backfill_files import file_to_backfill
        from gamestream_dagster.settings import Settings
        module.save_manifest = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with file_to_backfill(sys.argv[2], by="me", rejects=Path(sys.argv[2] + ".r")) as origin:
            module.backfill(Settings(home=Path(sys.argv[1])), origin, now_ms=1700000000000)
    """
    run(own, write(tmp_path / "before.jsonl", event("before")))
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(own.home), str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(left_behind(own)) == 4, "three files and the staging folder"
    assert rows(own) == ["before"]
    assert run(own, path).accepted == 30
    assert len(rows(own)) == 31
    assert left_behind(own) == []


def test_files_of_a_restored_older_manifest_are_set_aside_not_lost(own: Settings, tmp_path: Path) -> None:
    run(own, write(tmp_path / "a.jsonl", event("a")))
    manifest = history_folder(own) / MANIFEST
    older = manifest.read_bytes()
    run(own, write(tmp_path / "b.jsonl", event("b", THEN + DAY)))
    manifest.write_bytes(older)
    run(own, write(tmp_path / "c.jsonl", event("c")))
    assert rows(own) == ["a", "c"]
    assert len(list((own.archive_dir / "_set-aside").rglob("*.parquet"))) == 1


def test_find_gives_events_of_the_history(own: Settings, tmp_path: Path) -> None:
    result = run(own, write(tmp_path / "a.jsonl", event("a"), event("b", THEN + DAY)))
    assert result.not_indexed is None
    [found] = find_event(own, "b").records
    assert (found.topic, found.partition, found.offset, found.user_id, found.reason) == (HISTORY, 18263, 0, "ann", None)
    run(own, write(tmp_path / "c.jsonl", event("b", user_id="bob")))
    assert [one.user_id for one in find_event(own, "b").records] == ["bob", "ann"], "by time"
    assert find_event(own, "none").records == ()


def test_a_changed_file_of_the_history_stops_the_run(own: Settings, tmp_path: Path) -> None:
    run(own, write(tmp_path / "a.jsonl", event("a")))
    [file] = load_manifest(history_folder(own)).files
    (history_folder(own) / file.path).write_bytes(b"forged")
    os.utime(history_folder(own) / file.path)
    with pytest.raises(ArchiveForgedError):
        run(own, write(tmp_path / "b.jsonl", event("b")))


@pytest.mark.parametrize("damage", [b"{", None])
def test_a_damaged_history_is_made_again_as_the_error_says(own: Settings, tmp_path: Path, damage: bytes | None) -> None:
    path = write(tmp_path / "a.jsonl", event("a"))
    run(own, path)
    manifest = history_folder(own) / MANIFEST
    manifest.write_bytes(damage) if damage else manifest.unlink()
    with pytest.raises(ArchiveDamagedError, match=r"move the folder away and give the files .* `gamestream backfill`"):
        run(own, path)
    history_folder(own).rename(tmp_path / "away")
    assert run(own, path).accepted == 1
    assert len(find_event(own, "a").records) == 1


def test_one_run_at_a_time(own: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", event("a"))
    with exclusive(history_folder(own), 1), pytest.raises(ArchiveBusyError):
        run(own, path, lock_seconds=0)

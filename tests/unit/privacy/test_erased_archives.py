"""An erased player leaves the archives; every offset, and everybody else's rows, stay as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow.parquet as pq
import pytest

from gamestream_dagster.archive import erasing
from gamestream_dagster.archive.backfill import backfill
from gamestream_dagster.archive.backfill_files import file_to_backfill
from gamestream_dagster.archive.decode import decode, decoding
from gamestream_dagster.archive.digests import verify_files
from gamestream_dagster.archive.erasing import erase_from_archive, holds, suppressed_rows
from gamestream_dagster.archive.errors import ArchiveDamagedError
from gamestream_dagster.archive.history import history_folder
from gamestream_dagster.archive.manifest import Chapter
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.events.suppression import ERASED, list_file, load_suppression, suppress
from gamestream_dagster.privacy.player import Player, player_of, player_of_subject
from gamestream_dagster.privacy.stores.archives import Archives
from gamestream_dagster.settings import Settings
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS, SCORES

NOW = 1_790_000_000_000
ANN, BEN = "ann", "ben"


@pytest.fixture
def stack(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def event(user: str, kind: str = "feature_used", number: int = 0, **properties: Any) -> bytes:
    given = properties or {"feature": "map"}
    return orjson.dumps(
        {"event_id": f"{user}-{number}", "user_id": user, "event_type": kind, "event_time": NOW, "properties": given}
    )


def score(user: str, points: int) -> bytes:
    told = {"user_id": user, "team_id": "t", "team_name": "T", "score": points, "event_time_millis": NOW}
    return orjson.dumps(told | {"event_id": f"{user}-{points}"})


EVENTS = [
    event(ANN, number=1),
    event(BEN, number=2),
    event(BEN, "friend_added", 3, friend_id=ANN),
    event(BEN, number=4, feature=ANN),  # a feature that happens to have the name of the player
    b'{"user_id": "ann", broken',
    b'{"user_id": "annabel", broken',
]


def made(stack: Settings) -> Path:
    folder = stack.archive_dir / GAME_EVENTS.topic
    write_records(folder, GAME_EVENTS, [(value, NOW) for value in EVENTS])
    return folder


def rows(folder: Path, chapter: int | None = None) -> list[dict[str, Any]]:
    with duckdb.connect(":memory:") as database:
        open_archive(database, folder, chapter)
        found = database.execute('FROM archive ORDER BY "partition", "offset"')
        names = [one[0] for one in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_rows_of_the_player_are_emptied_and_all_others_are_as_they_were(stack: Settings) -> None:
    folder = made(stack)
    before = rows(folder)
    done = erase_from_archive(folder, player_of(stack, ANN), 1)
    after = rows(folder)
    assert done.rows == 3
    assert [row["offset"] for row in after] == [row["offset"] for row in before]
    for at in (0, 4):
        kept = {name for name, value in after[at].items() if value is not None}
        positions = {"topic", "partition", "offset", "item", "kafka_timestamp", "value_bytes"}
        assert kept - {"newest_before"} == positions | {"outcome", "reason"}
        assert after[at]["outcome"] == "refused"
    assert [after[at]["reason"] for at in (0, 4)] == [ERASED, "NOT_JSON"]  # of a refused record the reason stays
    assert [after[at] for at in (1, 3, 5)] == [before[at] for at in (1, 3, 5)]
    assert orjson.loads(after[2]["properties"]) == {"friend_id": "erased-1"}
    changed = {name for name in after[2] if after[2][name] != before[2][name]}
    assert changed == {"properties", "value"}


def test_a_second_erase_finds_nothing_and_changes_nothing(stack: Settings) -> None:
    folder = made(stack)
    erase_from_archive(folder, player_of(stack, ANN), 1)
    manifest = (folder / "_manifest.json").read_bytes()
    assert erase_from_archive(folder, player_of(stack, ANN), 2).rows == 0
    assert (folder / "_manifest.json").read_bytes() == manifest
    assert Archives(stack).scan(player_of(stack, ANN)) == []


def test_the_log_still_pins_what_certificates_pinned(stack: Settings) -> None:
    folder = made(stack)
    head = load_manifest(folder).head
    erase_from_archive(folder, player_of(stack, ANN), 1)
    manifest = load_manifest(folder)
    assert manifest.chapter_pinned_by(head) == 0
    assert manifest.breaks() == []
    verify_files(folder, manifest.files)


def test_older_chapters_are_erased_too(stack: Settings) -> None:
    folder = made(stack)
    save_manifest(folder, load_manifest(folder).opened(Chapter(begins={0: 0})))
    assert erase_from_archive(folder, player_of(stack, ANN), 1).rows == 3
    assert next(row["reason"] for row in rows(folder, 0)) == ERASED
    assert load_manifest(folder).broken_link() is None


def test_a_file_that_is_named_by_hand_is_refused(stack: Settings) -> None:
    folder = made(stack)
    manifest = load_manifest(folder)
    [file] = manifest.files
    forged = manifest.current.model_copy(update={"rewritten": {file.path: file.model_copy(update={"path": "x"})}})
    save_manifest(folder, manifest.model_copy(update={"chapters": (forged,)}))
    with pytest.raises(ArchiveDamagedError, match="was changed by hand"):
        load_manifest(folder)


@pytest.mark.parametrize("step", ["save_manifest", "_rewrite", "unlink"])
def test_a_run_killed_at_any_step_is_completed_by_the_next(stack: Settings, monkeypatch, step: str) -> None:
    folder = made(stack)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "unlink":
            patch.setattr(Path, "unlink", killed)
        else:
            patch.setattr(erasing, step, killed)
        with pytest.raises(KeyboardInterrupt):
            erase_from_archive(folder, player_of(stack, ANN), 1)
    erase_from_archive(folder, player_of(stack, ANN), 1)
    assert next(row["reason"] for row in rows(folder)) == ERASED
    held = b"".join(path.read_bytes() for path in folder.rglob("*.parquet"))
    assert len(list(folder.rglob("*.parquet"))) == 1
    assert held
    assert Archives(stack).scan(player_of(stack, ANN)) == []


def test_a_planted_file_is_found_by_the_hash_alone_and_erased(stack: Settings) -> None:
    folder = made(stack)
    planted = folder / "planted.parquet"
    planted.write_bytes((folder / load_manifest(folder).files[0].path).read_bytes())
    player = player_of(stack, ANN)
    hashed = player_of_subject(stack, player.subject)
    assert [(one.place, one.values) for one in Archives(stack).scan(hashed)] == [("archive of game-events-raw", 6)]
    Archives(stack).erase(player, 1, lambda _: None)
    assert Archives(stack).scan(hashed) == []


def test_an_export_has_the_rows_of_the_player_and_of_nobody_else(stack: Settings) -> None:
    made(stack)
    exported = [row for _, found in Archives(stack).export(player_of(stack, ANN)) for row in found]
    assert [row["offset"] for row in exported] == [0, 4]
    assert exported[0]["properties"] == '{"feature":"map"}'
    assert BEN not in orjson.dumps(exported).decode()


def test_the_archive_lets_no_erased_player_in_again(stack: Settings) -> None:
    suppression = suppress(stack, ANN, 7)
    made_by = decoding(SCORES)
    raw = Raw([0, 1], [NOW, NOW], [b"ann", b"ben"], [score(ANN, 5), score(BEN, 6)])
    table = suppressed_rows(decode(made_by, 0, raw), suppression).to_pylist()
    assert [(row["user_id"], row["score"], row["reason"]) for row in table] == [(None, None, ERASED), (BEN, 6, None)]
    assert table[1]["newest_before"] == NOW  # of the erased record: others are late, or not, as before
    assert replace(made_by, suppression=suppression).suppression(ANN)


def test_a_backfill_brings_nobody_back(stack: Settings, tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    file.write_bytes(b"\n".join(EVENTS[:4]))
    with file_to_backfill(file, by="test", rejects=tmp_path / "rejects") as origin:
        assert backfill(stack, origin).accepted == 4
    suppress(stack, ANN, 1)
    erase_from_archive(history_folder(stack), player_of(stack, ANN), 1)
    again = tmp_path / "again.jsonl"
    again.write_bytes(b"\n".join([*EVENTS[:5], event("cleo", "friend_added", 9, friend_id=ANN)]))
    with file_to_backfill(again, by="test", rejects=tmp_path / "rejects") as origin:
        result = backfill(stack, origin)
    assert (result.accepted, result.copies, result.refused[ERASED]) == (1, 3, 2)
    assert Archives(stack).scan(player_of(stack, ANN)) == []
    assert not (tmp_path / "rejects").exists()


def test_the_list_holds_no_id_and_needs_its_key(stack: Settings) -> None:
    suppress(stack, ANN, 1)
    suppress(stack, BEN, 2)
    assert suppress(stack, ANN, 3).requests.keys() == load_suppression(stack).requests.keys()
    text = list_file(stack).read_text()
    assert ANN not in text.replace("erased", "")
    assert load_suppression(stack).request_of(ANN) == 1
    assert repr(load_suppression(stack)).find(load_suppression(stack).key) < 0
    (stack.home / "secrets" / "privacy_key").unlink()
    with pytest.raises(Exception, match="restore it from a backup"):
        load_suppression(stack)
    with pytest.raises(Exception, match="restore it from a backup"):
        player_of(stack, ANN)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"ann", True),
        (b'{"user_id":"ann"}', True),
        (b'{"user_id":"annabel","team_id":"ann"}', False),
        (b'{"content":"{\\"player_id\\":\\"ann\\", broken"}', True),
        (b'{"properties":"{\\"friend_id\\":\\"ann\\"}"}', True),
        (b'{"content_base64":"/3sidXNlcl9pZCI6ImFubiJ9"}', True),
        (b'[{"user_id":"ben"},{"user_id":"ann"}]', True),
        (b"\xff\xfeann", False),
        (b"user=ann, level=3", False),
        (b"user 'ann', level 3", True),
        (None, False),
    ],
)
def test_what_names_a_player(stack: Settings, content: bytes | None, found: bool) -> None:
    player = player_of(stack, ANN)
    assert holds(content, player) is found
    assert holds(content, Player(player.key, player.subject)) is found


def test_parquet_of_an_erased_file_keeps_its_columns(stack: Settings) -> None:
    folder = made(stack)
    schema = pq.read_schema(folder / load_manifest(folder).files[0].path)
    erase_from_archive(folder, player_of(stack, ANN), 1)
    assert pq.read_schema(folder / load_manifest(folder).files[0].path).equals(schema)

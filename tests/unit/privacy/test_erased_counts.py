"""What is set aside of emptied records: no player, only what outputs count by, and no longer than a row shows it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow.parquet as pq
import pytest

from gamestream_dagster.archive import erasing
from gamestream_dagster.archive.decode import decode, decoding
from gamestream_dagster.archive.erased_counts import (
    CountsKept,
    count_files,
    counted_topics,
    counts_dir,
    counts_kept,
    prune_by_age,
    rows_about,
)
from gamestream_dagster.archive.erasing import erase_from_archive, suppressed_rows
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.events.suppression import ERASED, hash_of, suppress
from gamestream_dagster.privacy.player import player_of, player_of_subject
from gamestream_dagster.privacy.stores.counts import ErasedCounts
from gamestream_dagster.settings import Settings
from tests.support.archive_maker import archive_records

NOW = 1_790_000_000_000
SOURCES = load_sources()
ENRICHED = SOURCES["game-events-enriched"]
ANN = "ann"


def event(number: int, user: str = ANN, **properties: Any) -> bytes:
    told = {"event_id": f"e{number}", "user_id": user, "session_id": "s1", "event_type": "item_purchase"}
    told |= {"event_time_millis": NOW, "environment": "production", "region": "EU", "raw_partition": 3, "raw_offset": 7}
    return orjson.dumps(told | {"properties": orjson.dumps(properties).decode()})


@pytest.fixture
def stack(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def folder(stack: Settings) -> Path:
    mine = event(0, price="4.99", currency="USD", item="gems", note="a secret")
    values = {(0, 0): (mine, NOW), (0, 1): (event(1, "ben", price="1"), NOW), (0, 2): (b"ann", NOW)}
    return archive_records(stack.archive_dir / ENRICHED.topic, values, ENRICHED)


def kept(stack: Settings) -> CountsKept:
    found = counts_kept(stack, ENRICHED, player_of(stack, ANN).key)
    assert found is not None
    return found


def files(stack: Settings) -> list[Path]:
    return count_files(counts_dir(stack) / ENRICHED.topic)


def erased(stack: Settings, folder: Path) -> Path:
    erase_from_archive(folder, player_of(stack, ANN), 1, kept=kept(stack))
    [file] = files(stack)
    return file


def test_only_what_is_counted_is_kept_and_nobody_is_named(stack: Settings, folder: Path) -> None:
    player = player_of(stack, ANN)
    [row] = pq.read_table(erased(stack, folder)).to_pylist()
    assert (row["user_id"], row["session_id"]) == (player.subject, hash_of(player.key, "s1"))
    assert (row["event_id"], row["region"]) == (hash_of(player.key, "e0"), "EU")
    assert orjson.loads(row["properties"]) == {"price": "4.99", "currency": "USD", "item": "gems"}
    assert not {"key", "value", "raw_partition", "raw_offset"} & row.keys()
    assert files(stack)[0].stat().st_mode & 0o077 == 0


def test_an_archive_with_the_counts_has_the_content_back_and_still_says_erased(stack: Settings, folder: Path) -> None:
    file = erased(stack, folder)
    with duckdb.connect(":memory:") as database:
        open_archive(database, folder, own_columns=ENRICHED.own_columns, derived=ENRICHED.derived, erased=[file, file])
        sql = 'SELECT "offset", reason, points, minute, user_id FROM archive ORDER BY "offset"'
        rows = database.execute(sql).fetchall()
    subject = player_of(stack, ANN).subject
    assert [row[:3] for row in rows[:2]] == [(0, ERASED, 4_990_000), (1, None, 1_000_000)]
    assert [row[4] for row in rows] == [subject, "ben", None]


@pytest.mark.parametrize("step", ["save_manifest", "_rewrite"])
def test_a_killed_erase_keeps_the_counts_once_it_is_completed(
    stack: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erasing, step, killed)
        with pytest.raises(KeyboardInterrupt):
            erase_from_archive(folder, player_of(stack, ANN), 1, kept=kept(stack))
    assert pq.read_table(erased(stack, folder)).num_rows == 1
    again = erase_from_archive(folder, player_of(stack, ANN), 2, kept=kept(stack))
    assert (again.rows, len(files(stack))) == (0, 1)


def test_records_that_come_after_the_erase_are_kept_too(stack: Settings) -> None:
    suppression = suppress(stack, ANN, 1)
    raw = Raw([0, 1], [NOW, NOW], [b"ann", b"ben"], [event(0), event(1, "ben")])
    keep = kept(stack)
    suppressed_rows(decode(decoding(ENRICHED), 0, raw), suppression, keep)
    assert keep.save(1, "new") == 1
    assert rows_about(files(stack)[0], player_of(stack, ANN).subject) == 1


def test_the_certificate_can_say_how_many_wait_and_until_when(stack: Settings, folder: Path) -> None:
    erased(stack, folder)
    player = player_of(stack, ANN)
    [found] = ErasedCounts(stack).scan(player_of_subject(stack, player.subject))
    assert (found.place, found.values) == ("counts of game-events-enriched", 1)
    assert found.clean_at is not None
    assert 4 <= (found.clean_at / 1000 - time.time()) / 86_400 <= 5.1
    assert ErasedCounts(stack).scan(player_of(stack, "ben")) == []


def test_counts_are_deleted_when_no_row_shows_them(stack: Settings, folder: Path) -> None:
    file = erased(stack, folder)
    assert prune_by_age(stack, ENRICHED) == 0
    old = time.time() - 4 * 86_400 - 60
    os.utime(file, (old, old))
    assert prune_by_age(stack, ENRICHED) == 1
    assert files(stack) == []


def test_topics_whose_outputs_show_one_player_alone_keep_nothing(stack: Settings) -> None:
    topics = counted_topics(SOURCES.values())
    assert topics.keys() == {"user-score", "game-events-raw", "game-events-enriched"}
    assert topics["user-score"] is None, "rows of boards stay until their job starts from nothing"
    assert counts_kept(stack, SOURCES["transactions-raw"], "key") is None


def test_of_boards_nothing_is_kept_unless_an_erase_has_begun_to(stack: Settings) -> None:
    scores = SOURCES["user-score"]
    assert counts_kept(stack, scores, "key") is None
    assert counts_kept(stack, scores, "key", begin=True) is not None
    assert counts_kept(stack, scores, "key") is not None, "until every state has begun without the player"

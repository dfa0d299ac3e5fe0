"""Headers of archived game events: which are kept, in what form, and that older files without them stay readable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gamestream_dagster.archive.decode import decoding
from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.erasing import forget
from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import ArchiveRun
from gamestream_dagster.catalogue.sources import HEADERS_COLUMN, load_sources
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.events.headers import MAX_HEADER_BYTES, archived_headers, headers_text
from gamestream_dagster.fates.raw_records import records_of
from gamestream_dagster.settings import Settings
from tests.unit.fates.test_trace import GAME_EVENTS, NOW, Broker, event, record, traced

HTTP: dict[str, bytes | None] = {
    "gamestream-app": b"game",
    "gamestream-key-id": b"k1",
    "gamestream-received-ms": str(NOW).encode(),
}
FOREIGN: dict[str, bytes | None] = {"x-forwarded-for": b"81.2.69.142", "traceparent": b"00-1-2-01"}


class OnlyAnn:
    user_id = "ann"

    def __call__(self, user_id: str, /) -> bool:
        return user_id == "ann"


def write(settings: Settings, *headers: Mapping[str, bytes | None], ids: str = "abcdefgh") -> Manifest:
    folder = settings.archive_dir / RAW_TOPIC
    manifest = load_manifest(folder)
    folder.mkdir(parents=True, exist_ok=True)
    start = manifest.current.next_offset(0)
    run = ArchiveRun(RAW_TOPIC, folder, manifest, {0: start})
    offsets = list(range(start, start + len(headers)))
    values: list[bytes | None] = [event(ids[one]) for one in offsets]
    raw = Raw(offsets, [NOW] * len(offsets), [b"ann"] * len(offsets), values, list(headers))
    run.take(0, raw, offsets[-1] + 1, decoding(GAME_EVENTS))
    run.finish()
    return run.manifest


def strip_newest(settings: Settings) -> None:
    """Make the newest file one of an earlier version: without the column."""
    folder = settings.archive_dir / RAW_TOPIC
    manifest = load_manifest(folder)
    file = manifest.files[-1]
    path = folder / file.path
    pq.write_table(pq.read_table(path).drop_columns([HEADERS_COLUMN]), path)
    columns = tuple(name for name in file.columns or () if name != HEADERS_COLUMN)
    older = file.model_copy(update={"sha256": sha256_of(path), "columns": columns, "before": ""})
    before = Manifest(**{**manifest.model_dump(), "chapters": ()}).opened(
        manifest.current.model_copy(update={"entries": ()})
    )
    save_manifest(folder, before.extended(older))


def test_our_headers_are_kept_and_no_others() -> None:
    assert headers_text({}) is None
    assert headers_text(FOREIGN) is None
    found = headers_text({**FOREIGN, **HTTP, "gamestream-geo-version": b"ipfire-2026-06-25"})
    assert orjson.loads(found or "") == {
        "gamestream-app": "game",
        "gamestream-key-id": "k1",
        "gamestream-received-ms": str(NOW),
        "gamestream-geo-version": "ipfire-2026-06-25",
    }
    assert archived_headers(found) == {name: value.encode() for name, value in orjson.loads(found or "").items()}
    assert archived_headers(None) == {}


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\xff\x00", b"a\0b", b"\x1b[31m", b"x" * (MAX_HEADER_BYTES + 1), "\N{REPLACEMENT CHARACTER}".encode()],
)
def test_a_forged_value_is_left_out(value: bytes | None) -> None:
    assert headers_text({"gamestream-app": value, "gamestream-key-id": b"k1"}) == '{"gamestream-key-id":"k1"}'
    assert headers_text({"gamestream-app": value}) is None


def test_the_archive_reads_headers_of_game_events_alone() -> None:
    made = {name: decoding(source).with_headers for name, source in load_sources().items()}
    assert [name for name, with_headers in made.items() if with_headers] == [RAW_TOPIC]


def test_files_with_and_without_the_column_are_one_relation(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    write(settings, HTTP, HTTP)
    strip_newest(settings)
    write(settings, {}, {**HTTP, **FOREIGN})
    with duckdb.connect() as database:
        open_archive(database, settings.archive_dir / RAW_TOPIC, own_columns=GAME_EVENTS.own_columns)
        rows = database.execute(f'SELECT event_id, {HEADERS_COLUMN} FROM archive ORDER BY "offset"').fetchall()
    assert [row[0] for row in rows] == ["a", "b", "c", "d"]
    assert [row[1] for row in rows] == [None, None, None, headers_text(HTTP)]


def test_how_an_archived_event_was_received_is_told_after_kafka_has_dropped_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    write(settings, HTTP)
    strip_newest(settings)
    write(settings, HTTP, {})
    broker = Broker(**{RAW_TOPIC: [event(one) for one in "abc"]})
    found = [records_of(settings, GAME_EVENTS, one, broker, broker.read).found[0] for one in "abc"]  # type: ignore[arg-type]
    assert [one.headers for one in found] == [None, HTTP, {}]
    told = [traced([record(one.offset, headers=one.headers)], begins={RAW_TOPIC: 9}).records[0] for one in found]
    assert [one.received and one.received.key_id for one in told] == [None, "k1", None]
    assert "archived without headers" in told[0].received_note
    assert "not over HTTP" in told[2].received_note
    [recreated] = traced([record(5, current=False, headers=HTTP)]).records
    assert recreated.received is not None


def test_an_erase_empties_the_headers(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    manifest = write(settings, HTTP)
    table = pq.read_table(settings.archive_dir / RAW_TOPIC / manifest.files[0].path)
    assert table.column(HEADERS_COLUMN).to_pylist() == [headers_text(HTTP)]
    emptied, rows = forget(table, OnlyAnn(), lambda _: "erased-1")
    assert rows == 1
    assert emptied.column(HEADERS_COLUMN).to_pylist() == [None]
    assert isinstance(emptied, pa.Table)

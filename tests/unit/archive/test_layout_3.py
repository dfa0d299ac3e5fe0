"""An archive of layout 3, from before the envelope: it is read with what is written now, and its log stays whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gamestream_dagster.archive.decode import decoding
from gamestream_dagster.archive.manifest import LAYOUT, ArchivedFile, Manifest, digest_of
from gamestream_dagster.archive.manifest_file import MANIFEST, load_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import ArchiveRun
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.reconciliation.ledger.minutes import read_minutes
from tests.support.archive_maker import open_folder
from tests.support.fakes.streams import SCORES

NOW = 1_700_000_000_000
EVENT = {"user_id": "ann", "team_id": "t", "team_name": "T", "score": 4, "event_time_millis": NOW, "event_id": "e1"}
ROW = {"topic": SCORES.topic, "partition": 0, "item": 0, "kafka_timestamp": NOW, "key": b"ann", "remark": None}
ROW |= {"event_type": None, "newest_before": None}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Two records, one refused, as layout 3 wrote them: the manifest's entry has no `columns`."""
    accepted = ROW | EVENT | {"offset": 0, "value": orjson.dumps(EVENT), "reason": None}
    refused = ROW | dict.fromkeys(EVENT) | {"offset": 1, "value": b"not json", "reason": "NOT_JSON"}
    path = tmp_path / "0-0-1.parquet"
    types = {"partition": pa.int32(), "item": pa.int32(), "remark": pa.string(), "event_type": pa.string()}
    types |= {"newest_before": pa.int64()}
    columns = {name: pa.array([accepted[name], refused[name]], types.get(name)) for name in accepted}
    pq.write_table(pa.table(columns), path)
    file = ArchivedFile(
        path=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        partition=0,
        from_offset=0,
        first_offset=0,
        last_offset=1,
        next_offset=2,
        records=2,
        rows=2,
        gaps=(),
    )
    data = Manifest(topic=SCORES.topic).extended(file).model_dump(mode="json") | {"layout": 3}
    for entry in data["chapters"][0]["entries"]:
        del entry["columns"]
    (tmp_path / MANIFEST).write_bytes(orjson.dumps(data))
    return tmp_path


def test_an_entry_keeps_the_digest_that_it_had(old: Path) -> None:
    entry = orjson.loads((old / MANIFEST).read_bytes())["chapters"][0]["entries"][0]
    then = hashlib.sha256(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)).hexdigest()
    assert digest_of(load_manifest(old).files[0]) == then == load_manifest(old).head


def test_old_and_new_files_are_one_relation(old: Path) -> None:
    before = load_manifest(old)
    run = ArchiveRun(SCORES.topic, old, before, {0: 2})
    run.take(0, Raw([2], [NOW], [b"ann"], [orjson.dumps(EVENT | {"event_id": "e2"})]), 3, decoding(SCORES))
    run.finish()
    after = load_manifest(old)
    assert after.layout == LAYOUT == orjson.loads((old / MANIFEST).read_bytes())["layout"]
    assert after.broken_link() is None
    assert after.chapter_pinned_by(before.head) == 0
    with duckdb.connect() as database:
        open_archive(database, old)
        rows = database.execute(
            'SELECT "offset", outcome, reason, event_id, team_id, score, value_bytes FROM archive ORDER BY "offset"'
        ).fetchall()
    size = len(orjson.dumps(EVENT))
    assert rows == [
        (0, "accepted", None, "e1", "t", 4, size),
        (1, "refused", "NOT_JSON", None, None, None, 8),
        (2, "accepted", None, "e2", "t", 4, size),
    ]


def test_an_old_archive_is_recomputed(old: Path, tmp_path: Path) -> None:
    with open_folder(old, tmp_path) as archive:
        (minute,) = read_minutes(archive, archive.at({0: 2}))
    assert (minute["records"], minute["accepted"], minute["dead_lettered"]) == (2, 1, 1)

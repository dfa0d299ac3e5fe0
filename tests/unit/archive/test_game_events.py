"""Game events in the archive: what the judge says of a record is what its row says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
import yaml

from gamestream_dagster.archive import writer
from gamestream_dagster.archive.decode import decode, decoding
from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.sources import RESERVED_COLUMNS, load_sources, source_of_event
from gamestream_dagster.catalogue.topics import RAW_TOPIC, TOPICS_FILE
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.components.archived_topics import build_archive_definitions
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.reconciliation.ledger.minutes import query_minutes
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.settings import TopicFormat
from quality.suites.archive import read_partitions
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS, SCORES
from tests.support.game_event_cases import NOW, GameCase, all_cases

JUDGE = GameEventJudge()
MADE = decoding(GAME_EVENTS)
ADDRESS = "203.0.113.77"


def event(**changes: Any) -> dict[str, Any]:
    fields = {"event_id": "e1", "user_id": "ann", "event_type": "player_join", "event_time": NOW, "properties": {}}
    return fields | changes


def rows_of(*values: bytes | None, at: int = NOW) -> list[dict[str, Any]]:
    count = len(values)
    raw = Raw(list(range(count)), [at] * count, [b"k"] * count, list(values))
    table = decode(MADE, 3, raw)
    assert table.schema == MADE.schema
    return table.to_pylist()


def row_of(at: int = NOW, **changes: Any) -> dict[str, Any]:
    [row] = rows_of(orjson.dumps(event(**changes)), at=at)
    return row


def agrees(row: dict[str, Any], case: GameCase) -> bool:
    outcome = JUDGE.judge(case.value, case.kafka_timestamp)
    if isinstance(outcome, GameEvent):
        fields = outcome._asdict() | {"reason": None, "field": None, "outcome": "accepted"}
        address = fields.pop("ip_address")
        return all(row[name] == value for name, value in fields.items()) and row["value"] == (
            None if address is not None else case.value
        )
    told = row["outcome"], row["reason"], row["field"], row["value"]
    return told == ("refused", outcome.reason.value, outcome.field, case.value)


def test_every_case_of_the_rule() -> None:
    cases = list(all_cases())
    raw = Raw(
        list(range(len(cases))),
        [case.kafka_timestamp for case in cases],
        [b"k"] * len(cases),
        [case.value for case in cases],
    )
    rows = decode(MADE, 0, raw).to_pylist()
    assert len(rows) == len(cases) > 300, "one row for each record, whatever it is"
    assert [case.name for case, row in zip(cases, rows, strict=True) if not agrees(row, case)] == []


def test_the_columns_are_the_normal_form_without_the_address() -> None:
    own = set(GAME_EVENTS.own_columns)
    assert {"properties", "digest", "late", "field", "environment", "session_id"} <= own
    assert "ip_address" not in own
    assert not own & RESERVED_COLUMNS


def test_properties_are_canonical_and_an_event_far_behind_is_late() -> None:
    row = row_of(properties={"zeta": 1.50, "level": 7}, at=NOW + 600_001)
    assert (row["properties"], row["late"]) == ('{"level":7,"zeta":1.5}', True)
    assert row_of(at=NOW + 600_000)["late"] is False


def test_an_accepted_event_with_an_address_is_kept_without_its_bytes() -> None:
    row = row_of(ip_address=ADDRESS)
    assert row["outcome"] == "accepted"
    assert ADDRESS not in repr(row)
    assert (row["value"], row["value_bytes"]) == (None, len(orjson.dumps(event(ip_address=ADDRESS))))
    assert row_of()["value"] is not None, "all others keep them"


def test_a_refused_event_can_be_found_by_its_good_fields() -> None:
    row = row_of(event_type="item_purchase")
    assert (row["reason"], row["event_id"], row["user_id"]) == ("MISSING_FIELD", "e1", "ann")
    assert (row["event_type"], row["event_time_millis"], row["field"]) == ("item_purchase", NOW, "properties.item")
    assert row_of(id="other", event_id=None, properties={"level": "x"})["event_id"] == "other", "by a synonym too"


@pytest.mark.parametrize(
    "changes",
    [
        {"event_type": 12345},
        {"event_type": 2**70},
        {"event_type": "\ud800"},
        {"event_id": "a\0b"},
        {"event_id": 7},
        {"event_id": "x" * 300},
        {"event_time": "never"},
        {"event_time": 2**70},
        {"platform": ["ios"]},
        {"session_id": "\udfff", "properties": []},
        {"ip_address": {"a": 1}},
    ],
)
def test_a_bad_field_of_any_kind_is_left_out(changes: dict[str, Any]) -> None:
    import json

    [row] = rows_of(json.dumps(event(**changes)).encode())
    assert row["outcome"] == "refused"
    [name, *_] = changes
    name = {"event_time": "event_time_millis"}.get(name, name)
    assert row.get(name) is None
    assert row["value"] == json.dumps(event(**changes)).encode()


def test_no_bytes_at_all_stop_the_archive() -> None:
    values = [None, b"", b"\xff\xfe", b"\x00", b"{", b"[" * 5000, b'{"a":' * 5000, b"nul", b"1" * 70, b"{}" * 2]
    rows = rows_of(*values)
    assert [row["outcome"] for row in rows] == ["refused"] * len(values)
    assert [row["value"] for row in rows] == values


def test_the_written_archive_is_read_judged_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / RAW_TOPIC
    sent = [
        event(),
        event(properties={"level": 2}),  # the same id with other content
        event(event_time="2023-11-14T22:13:20Z"),  # the same event in another spelling
        event(event_id="e2", event_type="nothing"),
        event(event_id="e3", event_type="server_health", user_id=None, region="EU")
        | {"properties": {"server_id": "s", "latency_ms": 1, "error_rate": 0}},
    ]
    write_records(folder, GAME_EVENTS, [(orjson.dumps(one), NOW) for one in sent])
    [file] = load_manifest(folder).files
    assert file.columns == tuple(GAME_EVENTS.own_columns)
    assert file.path.startswith("chapter=1/date=2023-11-14/hour=22/")
    [counts] = read_partitions(folder, GAME_EVENTS).to_dict("records")
    assert (counts["records"], counts["accepted"], counts["accepted_incomplete"]) == (5, 4, 0)
    source = ArchiveSource(
        folder,
        own_columns=GAME_EVENTS.own_columns,
        content=GAME_EVENTS.content_columns,
        late_ms=GAME_EVENTS.lateness_ms,
    )
    with ArchiveDatabase(source, tmp_path, 1) as archive:
        at = archive.at({0: 5})
        [totals] = query_minutes(archive, at, "totals")
        words = {row["word"]: row["records"] for row in query_minutes(archive, at, "words")}
    assert (totals["accepted"], totals["duplicate"], totals["dead_lettered"]) == (2, 2, 1)
    assert words == {"UNKNOWN_EVENT_TYPE": 1, "DUP_CONFLICT": 1}


def test_large_records_are_written_before_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FILE_BYTES", 1 << 20)
    run = writer.ArchiveRun(RAW_TOPIC, tmp_path, Manifest(topic=RAW_TOPIC), {0: 0, 1: 0})
    for number in range(6):
        run.take(number % 2, Raw([number // 2], [NOW], [b"k"], [b"x" * 600_000]), number // 2 + 1, MADE)
    run.finish()
    assert [file.records for file in run.manifest.files] == [1] * 6
    assert run.manifest.archived_upto == {0: 3, 1: 3}


def test_an_empty_archive_has_the_columns(tmp_path: Path) -> None:
    with duckdb.connect() as database:
        open_archive(database, tmp_path / RAW_TOPIC, own_columns=GAME_EVENTS.own_columns)
        assert database.execute("SELECT digest, late, field FROM archive").fetchall() == []


def test_the_component_makes_the_asset() -> None:
    [asset] = [
        one
        for one in build_archive_definitions(load_sources().values()).assets or ()
        if one.key.path == ["archive", "game_events_raw_archive"]
    ]
    assert "item_purchase" in asset.metadata_by_key[asset.key]["event_types"]


def test_scores_are_what_they_were() -> None:
    assert SCORES.game is None
    assert source_of_event("score", load_sources()).topic == "user-score", "though game events have such a type too"
    assert [name for name, one in load_subjects().items() if one.topic == "user-score"] == ["user-score-value"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"event_types": ["score"]}, "excludes `event_types`"),
        ({"format": "avro"}, "JSON or Avro"),
        ({"rule": "none"}, "rule"),
    ],
)
def test_a_stream_of_game_events_is_declared_by_its_rule_alone(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    topics = yaml.safe_load(TOPICS_FILE.read_text(encoding="utf-8"))
    topics["topics"][RAW_TOPIC] |= change
    path = tmp_path / "topics.yaml"
    path.write_text(yaml.safe_dump(topics), encoding="utf-8")
    with pytest.raises(CatalogueError, match=said):
        load_sources(path)


def test_a_profile_cannot_make_game_events_avro() -> None:
    with pytest.raises(CatalogueError, match="remove the topic from the setting topic_formats"):
        load_sources(formats={RAW_TOPIC: TopicFormat.AVRO})

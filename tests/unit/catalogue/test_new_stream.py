"""A new stream is one entry of topics.yaml and a file for each event type: nothing else knows it by name."""

from __future__ import annotations

from pathlib import Path

import duckdb
import orjson
import pytest
import yaml

from gamestream_dagster.archive.decode import MAX_VALUE_BYTES, decode, decoding
from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import ArchiveRun
from gamestream_dagster.catalogue.asset_names import archive_name
from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.event_type import EVENT_TYPES_DIR
from gamestream_dagster.catalogue.sources import Source, load_sources
from gamestream_dagster.catalogue.topics import RAW_TOPIC, TOPICS_FILE, load_topics
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.components.archived_topics import build_archive_definitions
from gamestream_dagster.events.rule import rule_of
from gamestream_dagster.provisioning.model import make_plan
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.provisioning.subjects import SubjectProvider
from gamestream_dagster.provisioning.topics import TopicProvider
from gamestream_dagster.reconciliation.ledger.minutes import read_minutes
from gamestream_dagster.settings import TopicFormat, TopicProfile
from quality.suites.archive import read_partitions
from tests.support.archive_maker import open_folder
from tests.support.fakes.provisioned import FakeKafkaAdmin, FakeRegistry

NOW = 1_700_000_000_000
TOPIC = "shop"

EVENT_TYPES = {
    "purchase": {
        "thing": {"type": "string", "required": True, "max_length": 10, "description": "What."},
        "cents": {"type": "integer", "required": True, "minimum": 1, "maximum": 500, "avro_type": "long"}
        | {"flink": "BIGINT", "description": "Price."},
    },
    "refund": {"purchase": {"type": "string", "required": True, "description": "Id of the purchase."}},
}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """The project's catalogue with a stream of two event types, and one more of scores."""
    topics = yaml.safe_load(TOPICS_FILE.read_text(encoding="utf-8"))
    entry = {**topics["topics"]["user-score"], "description": "Purchases and refunds.", "format": "avro"}
    types = {"event_types": list(EVENT_TYPES), "subjects": "TopicRecordNameStrategy"}
    topics["topics"][TOPIC] = entry | types
    topics["topics"]["arena-score"] = topics["topics"]["user-score"]
    (tmp_path / "topics.yaml").write_text(yaml.safe_dump(topics), encoding="utf-8")
    folder = tmp_path / "event_types"
    folder.mkdir()
    for described in EVENT_TYPES_DIR.glob("*.yaml"):
        (folder / described.name).write_bytes(described.read_bytes())
    for name, own in EVENT_TYPES.items():
        fields = {
            "event_id": {"type": "string", "required": True, "min_length": 1, "description": "Id."},
            "player": {"type": "string", "required": True, "min_length": 1, "description": "Who."},
            "kind": {"type": "string", "required": True, "description": "Which event type."},
            "at": {"type": "integer", "required": True, "minimum": 0, "max_ahead": "1h", "flink": "BIGINT"}
            | {"avro_type": "long", "description": "When."},
        } | own
        envelope = {"user_id": "player", "event_id": "event_id", "event_time_millis": "at", "event_type": "kind"}
        described = {"description": name, "avro": {"namespace": "games", "name": name.title()}}
        described |= {"envelope": envelope, "fields": fields}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return tmp_path


def sources(catalogue: Path, encoding: TopicFormat = TopicFormat.JSON) -> dict[str, Source]:
    formats = {TOPIC: encoding}
    return load_sources(catalogue / "topics.yaml", formats=formats, event_types=catalogue / "event_types")


def value(kind: str, **fields: object) -> bytes:
    return orjson.dumps({"event_id": "e1", "player": "ann", "kind": kind, "at": NOW} | fields)


def archived(folder: Path, source: Source, *values: bytes | None) -> Path:
    made = decoding(source)
    run = ArchiveRun(source.topic, folder, Manifest(topic=source.topic), {0: 0})
    raw = Raw(list(range(len(values))), [NOW] * len(values), [b"ann"] * len(values), list(values))
    run.take(0, raw, len(values), made)
    run.finish()
    return folder


def test_topic_and_subjects_are_planned(catalogue: Path) -> None:
    found = sources(catalogue)
    topics = load_topics(TopicProfile.LAPTOP, path=catalogue / "topics.yaml")
    admin, registry = FakeKafkaAdmin(), FakeRegistry()
    topic = TopicProvider({TOPIC: topics[TOPIC]}, admin)
    [step] = make_plan(topic.observe([TOPIC])).steps
    assert step.change.startswith("create, 4 partitions")
    subjects = {name: one for name, one in load_subjects(found).items() if one.topic == TOPIC}
    assert set(subjects) == {"shop-games.Purchase", "shop-games.Refund"}
    provider = SubjectProvider(subjects, registry)
    assert {step.name for step in make_plan(provider.observe(subjects)).steps} == set(subjects)
    assert "arena-score-value" in load_subjects(found)


def test_each_archived_topic_has_an_asset(catalogue: Path) -> None:
    keys = {tuple(asset.key.path) for asset in build_archive_definitions(sources(catalogue).values()).assets or ()}
    known = ("user-score", RAW_TOPIC, "game-events-enriched", "transactions-raw", "transactions-keyed")
    assert keys == {archive_name(topic) for topic in (*known, TOPIC, "arena-score")}


def test_the_archive_has_the_envelope_and_the_columns_of_all_event_types(catalogue: Path, tmp_path: Path) -> None:
    source = sources(catalogue)[TOPIC]
    sent = [
        value("purchase", thing="hat", cents=5),
        value("refund", purchase="e0"),
        value("purchase", thing="hat", cents=501),
        value("gift", thing="hat"),
        b"\xff not json",
        None,
        b"[" + value("refund", purchase="a") + b"," + value("purchase", thing="x" * 11, cents=1) + b"]",
    ]
    folder = archived(tmp_path / TOPIC, source, *sent)
    with duckdb.connect() as database:
        open_archive(database, folder, own_columns=source.own_columns)
        held = database.execute(
            'SELECT "offset", outcome, reason, user_id, event_type, cents, purchase, value, value_bytes FROM archive '
            'ORDER BY "offset", item'
        ).fetchall()
    told = [(offset, outcome, reason, user, *rest) for offset, outcome, reason, user, *rest, _, _ in held]
    assert told == [
        (0, "accepted", None, "ann", "purchase", 5, None),
        (1, "accepted", None, "ann", "refund", None, "e0"),
        (2, "refused", "OUT_OF_RANGE", "ann", "purchase", 501, None),
        (3, "refused", "UNKNOWN_EVENT_TYPE", None, None, None, None),
        (4, "refused", "NOT_UTF8", None, None, None, None),
        (5, "refused", "NOT_JSON", None, None, None, None),
        (6, "accepted", None, "ann", "refund", None, "a"),
        (6, "refused", "TOO_LARGE", "ann", "purchase", 1, None),
    ]
    assert [row[7] for row in held] == [*sent, sent[-1]], "refused records keep their exact bytes"
    (counts,) = read_partitions(folder, source).to_dict("records")
    assert (counts["records"], counts["accepted"], counts["accepted_incomplete"]) == (7, 3, 0)


def test_values_over_the_limit_are_cut_and_their_length_is_kept(catalogue: Path) -> None:
    long = b"x" * (MAX_VALUE_BYTES + 7)
    raw = Raw([0, 1], [NOW, NOW], [b"k", None], [long, b"short"])
    rows = decode(decoding(sources(catalogue)[TOPIC]), 0, raw).to_pylist()
    assert [(row["value"], row["value_bytes"]) for row in rows] == [(long[:MAX_VALUE_BYTES], len(long)), (b"short", 5)]


def test_a_second_stream_of_scores_is_recomputed(catalogue: Path, tmp_path: Path) -> None:
    source = sources(catalogue)["arena-score"]
    score = {"user_id": "ann", "team_id": "t", "team_name": "T", "score": 4, "event_time_millis": NOW}
    folder = archived(
        tmp_path / "arena-score", source, *(orjson.dumps(score | {"event_id": str(n % 2)}) for n in range(3))
    )
    with open_folder(folder, tmp_path) as archive:
        (minute,) = read_minutes(archive, archive.at({0: 3}))
    assert (minute["records"], minute["accepted"], minute["duplicate"]) == (3, 2, 1)
    assert load_manifest(folder).topic == "arena-score"


def test_every_event_type_has_a_rule_of_its_own(catalogue: Path) -> None:
    shop = sources(catalogue)[TOPIC]
    purchase, refund = (rule_of(event) for event in shop.event_types)
    assert purchase.accepted._fields == ("event_id", "player", "kind", "at", "thing", "cents", "remark")  # type: ignore[attr-defined]
    assert refund.accepted is not purchase.accepted


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"event_types": ["purchase", "gift"]}, "'gift', which has no file"),
        ({"event_types": ["score", "purchase"]}, "must name one field as `event_type`"),
        ({"event_types": ["purchase", "refund"], "subjects": "TopicNameStrategy"}, "TopicRecordNameStrategy"),
    ],
)
def test_a_stream_that_cannot_be_read_is_told(catalogue: Path, entry: dict[str, object], said: str) -> None:
    path = catalogue / "topics.yaml"
    topics = yaml.safe_load(path.read_text(encoding="utf-8"))
    topics["topics"][TOPIC].update(entry)
    path.write_text(yaml.safe_dump(topics), encoding="utf-8")
    with pytest.raises(CatalogueError, match=said):
        load_sources(path, event_types=catalogue / "event_types")


def test_a_format_for_an_unknown_topic_is_told() -> None:
    with pytest.raises(CatalogueError, match="'user-scores', which is no stream"):
        load_sources(formats={"user-scores": TopicFormat.AVRO})

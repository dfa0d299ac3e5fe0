"""The topic catalogue: two profiles, board topics from the boards, and a clear sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from gamestream_dagster.catalogue.boards import CatalogueError, KafkaSink, PostgresSink, Sinks, load_boards
from gamestream_dagster.catalogue.sources import load_dedup, load_sources
from gamestream_dagster.catalogue.topics import TOPICS_FILE, load_topics
from gamestream_dagster.settings import TopicProfile
from tests.support.fakes.streams import SCORE_TOPIC


def test_score_topic_follows_the_profile():
    laptop, prod = (load_topics(profile)[SCORE_TOPIC] for profile in (TopicProfile.LAPTOP, TopicProfile.PROD))
    assert (laptop.partitions, prod.partitions) == (4, 64)
    assert laptop.config == {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * 24 * 3600 * 1000),
        "message.timestamp.type": "LogAppendTime",
    }
    assert laptop.key == "user_id"
    assert laptop.board is None


@pytest.mark.parametrize("profile", list(TopicProfile))
def test_every_board_has_a_compacted_topic_of_one_partition(profile: TopicProfile):
    topics, boards = load_topics(profile), load_boards()
    assert {topic.board for topic in topics.values() if topic.board} == set(boards)
    for board in boards.values():
        topic = topics[board.topic]
        assert topic.partitions == 1
        assert topic.config["cleanup.policy"] == "compact"
        assert "retention.ms" not in topic.config
        assert topic.owner
        assert board.name in topic.description


def test_what_makes_two_records_one_is_a_setting_of_the_topic(tmp_path: Path):
    dedup = load_sources()[SCORE_TOPIC].dedup
    assert dedup is not None
    assert (dedup.key, dedup.horizon) == (("user_id", "event_id"), 12 * 60_000)
    declared = load_dedup()
    assert declared["game-events-raw"] == dedup
    assert {topic: one.key for topic, one in declared.items() if one != dedup} == {
        "transactions-raw": ("event_id",),
        "transactions-keyed": ("event_id",),
    }
    without = _edited(tmp_path, dedup=None)
    assert load_sources(without)[SCORE_TOPIC].dedup is None
    assert SCORE_TOPIC not in load_dedup(without)


def _edited(tmp_path: Path, **changes: object) -> Path:
    content = yaml.safe_load(TOPICS_FILE.read_text(encoding="utf-8"))
    content["topics"][SCORE_TOPIC].update(changes)
    path = tmp_path / "topics.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"retention": "7 days"}, "not a duration"),
        ({"retention": None}, "belongs to cleanup"),
        ({"cleanup": "compact"}, "belongs to cleanup"),
        ({"cleanup": "archive"}, "cleanup"),
        ({"partitions": {"laptop": 4}}, "prod"),
        ({"partitions": {"laptop": 0, "prod": 1}}, "greater than 0"),
        ({"replicas": 3}, "replicas"),
        ({"owner": ""}, "owner"),
        ({"dedup": {"key": ["user_id"], "horizon": "12 minutes"}}, "not a duration"),
        ({"dedup": {"key": ["user_id"], "horizon": "90s"}}, "whole number of minutes"),
        ({"dedup": {"key": ["user_id"], "horizon": "2d"}}, "from 1m to 24h"),
        ({"dedup": {"key": ["user_id"], "horizon": "0m"}}, "from 1m to 24h"),
        ({"dedup": {"key": ["user_id"]}}, "horizon"),
        ({"dedup": {"key": [], "horizon": "12m"}}, "key"),
        ({"dedup": {"key": ["score"], "horizon": "12m"}}, "event_id"),
        ({"dedup": {"key": ["user_id"], "horizon": "12m", "field": "id"}}, "field"),
        ({"dedup": {"key": ["user_id"], "horizon": "12m", "content": ["No name"]}}, "not an identifier"),
        ({"format": "protobuf"}, "json"),
        ({"lateness": "soon"}, "not a duration"),
        ({"event_types": []}, "`archive` needs `event_types`"),
        ({"event_types": ["score", "purchase"]}, "TopicRecordNameStrategy"),
    ],
)
def test_a_mistake_names_the_file_and_the_field(tmp_path: Path, change: dict[str, object], said: str):
    path = _edited(tmp_path, **change)
    with pytest.raises(CatalogueError, match=said) as raised:
        load_topics(TopicProfile.LAPTOP, path=path)
    assert str(path) in str(raised.value)


def test_a_board_cannot_take_a_declared_topic():
    board = next(iter(load_boards().values()))
    stolen = board.model_copy(update={"sinks": Sinks(kafka=KafkaSink(topic=SCORE_TOPIC))})
    with pytest.raises(CatalogueError, match="only once"):
        load_topics(TopicProfile.LAPTOP, boards={board.name: stolen})


def test_the_name_of_an_outputs_topic_is_checked():
    with pytest.raises(ValidationError, match="topic"):
        KafkaSink(topic="Top Teams")


def test_an_output_without_a_kafka_sink_has_no_topic():
    board = next(iter(load_boards().values()))
    alone = board.model_copy(update={"sinks": Sinks(postgres=PostgresSink())})
    assert board.topic not in load_topics(TopicProfile.LAPTOP, boards={board.name: alone})

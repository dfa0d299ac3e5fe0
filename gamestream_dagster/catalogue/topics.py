"""The topics: what `topics.yaml` declares, and one compacted topic for each output."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from gamestream_dagster.catalogue.boards import Board, Identifier, load_boards
from gamestream_dagster.catalogue.durations import DurationMs
from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.settings import TopicFormat, TopicProfile

TOPICS_FILE = Path(__file__).with_name("topics.yaml")
RAW_TOPIC = "game-events-raw"
"""Where the HTTP API, and backends directly, write game events."""
CLOCK_TOPIC = "broker-clock"
"""A record that is written here gets the broker's time."""
TOPIC_NAME = re.compile(r"^[a-z][a-z0-9-]{0,248}$")

_MINUTE_MS = 60_000
MAX_HORIZON_MS = 24 * 60 * _MINUTE_MS
"""Longest memory for event ids: a job keeps every id that long."""


class Cleanup(StrEnum):
    """What Kafka does with old records of a topic."""

    DELETE = "delete"  # drop records older than the retention
    COMPACT = "compact"  # keep the newest record of each key, for ever


def _topic_name(name: str) -> str:
    if not TOPIC_NAME.match(name):
        raise ValueError(f"{name!r} is not a topic name: use small letters, digits and -, a letter first")
    return name


TopicName = Annotated[str, AfterValidator(_topic_name)]


class _Common(BaseModel):
    """What all board topics share, and part of what each declared topic says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    partitions: dict[TopicProfile, Annotated[int, Field(gt=0, le=10_000)]]
    retention: DurationMs | None = None
    cleanup: Cleanup
    config: dict[str, str] = {}

    @model_validator(mode="after")
    def _usable(self) -> _Common:
        for profile in TopicProfile:
            if profile not in self.partitions:
                raise ValueError(f"`partitions` lacks the profile {profile.value!r}")
        if (self.retention is None) == (self.cleanup is Cleanup.DELETE):
            raise ValueError("`retention` belongs to cleanup `delete`, and only to it")
        return self


EnvelopeColumn = Literal["user_id", "event_id"]


class Dedup(BaseModel):
    """Records of one `key` are one event; jobs drop copies that come within `horizon` (ms of processing time)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: tuple[EnvelopeColumn, ...] = Field(min_length=1, description="Columns of the envelope that name the event.")
    horizon: DurationMs
    content: tuple[Identifier, ...] = Field(
        default=(), description="Fields in which two records of one key must agree; default all, and the event time."
    )

    @field_validator("horizon")
    @classmethod
    def _whole_minutes(cls, horizon: int) -> int:
        if horizon % _MINUTE_MS or not _MINUTE_MS <= horizon <= MAX_HORIZON_MS:
            raise ValueError("the horizon is a whole number of minutes, from 1m to 24h, such as 12m")
        return horizon


class SubjectNaming(StrEnum):
    """How the registry's subjects of a topic are named, as Confluent's serializers call it."""

    TOPIC = "TopicNameStrategy"  # `<topic>-value`: one event type in the topic
    TOPIC_RECORD = "TopicRecordNameStrategy"  # `<topic>-<full name of the record>`: one subject for each event type


class RecordRule(StrEnum):
    """Which rule judges the records of a stream."""

    EVENT_TYPES = "event_types"  # that of its `event_types`
    GAME_EVENTS = "game_events"  # that of the game events (`catalogue.game_rules`)


class Declared(_Common):
    """One entry of `topics:`. With `event_types`, or another rule, it is a stream: its records can be judged."""

    description: str = Field(min_length=1)
    rule: RecordRule = RecordRule.EVENT_TYPES
    event_types: tuple[Identifier, ...] = Field(default=(), description="Files of `event_types/`, without `.yaml`.")
    format: TopicFormat = TopicFormat.JSON
    subjects: SubjectNaming = SubjectNaming.TOPIC
    dedup: Dedup | None = Field(default=None, description="None: events carry no ids, and no copy is told.")
    lateness: DurationMs = Field(default=0, description="How far the watermark stays behind the newest event.")
    copy_of: TopicName | None = Field(
        default=None, description="The stream whose records it holds, each once and unchanged, under other keys."
    )
    archive: bool = Field(default=False, description="Every record is kept as Parquet, for recompute and proofs.")

    @model_validator(mode="after")
    def _of_a_stream(self) -> Declared:
        if self.rule is RecordRule.GAME_EVENTS:
            if self.event_types or self.format is not TopicFormat.JSON or self.subjects is not SubjectNaming.TOPIC:
                raise ValueError("`rule: game_events` excludes `event_types`, `format` and `subjects`: events are JSON")
        elif not self.event_types and self.archive:
            raise ValueError("`archive` needs `event_types` or `rule: game_events`")
        if len(self.event_types) > 1 and self.subjects is SubjectNaming.TOPIC:
            raise ValueError(f"several event types in one topic need `subjects: {SubjectNaming.TOPIC_RECORD.value}`")
        return self


class _TopicsFile(BaseModel):
    """The whole of `topics.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topics: dict[TopicName, Declared]
    output_topics: _Common


class Topic(BaseModel):
    """One topic as it should be in Kafka, under one profile.

    `config` holds Kafka's own names and values (`cleanup.policy`, `retention.ms`, ...), as strings, as the broker
    reports them. `board` names the board whose changes the topic holds, if any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TopicName
    partitions: int = Field(gt=0)
    config: dict[str, str]
    key: str = Field(description="What the record key is.")
    description: str
    owner: str
    board: str | None = None


def load_topics(
    profile: TopicProfile, path: Path = TOPICS_FILE, boards: dict[str, Board] | None = None
) -> dict[str, Topic]:
    """Every topic under `profile`, by name: the declared ones in the file's order, then those of the boards.

    Args:
        profile: which partition counts to take.
        path: the declaration.
        boards: default: every board of the project.

    Raises:
        CatalogueError: the file is not usable, or a board claims a declared topic's name; says which and the mend.
    """
    declared = _read(path)
    found = boards if boards is not None else load_boards()
    topics = {name: _topic(name, entry, entry.description, profile) for name, entry in declared.topics.items()}
    for board in found.values():
        if board.sinks.kafka is None:
            continue
        if board.topic in topics:
            raise CatalogueError(
                f"{path}: topic {board.topic!r} is that of output {board.name!r}; declare it only once"
            )
        description = f"Changes of {board.name}. {board.description}"
        topics[board.topic] = _topic(board.topic, declared.output_topics, description, profile, board.name)
    return topics


def _topic(name: str, entry: _Common, description: str, profile: TopicProfile, board: str | None = None) -> Topic:
    config = {"cleanup.policy": entry.cleanup.value, **entry.config}
    if entry.retention is not None:
        config["retention.ms"] = str(entry.retention)
    return Topic(
        name=name,
        partitions=entry.partitions[profile],
        config=config,
        key=entry.key,
        description=description,
        owner=entry.owner,
        board=board,
    )


def load_declared(path: Path = TOPICS_FILE) -> dict[str, Declared]:
    """The entries of `topics:`, by name, in the file's order.

    Raises:
        CatalogueError: the file is not usable; says why.
    """
    return _read(path).topics


def _read(path: Path) -> _TopicsFile:
    try:
        return _TopicsFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error

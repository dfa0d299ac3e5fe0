"""The topics: what `topics.yaml` declares, and one compacted topic for each output."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from gamestream_dagster.catalogue.boards import Board, CatalogueError, load_boards
from gamestream_dagster.settings import TopicProfile

TOPICS_FILE = Path(__file__).with_name("topics.yaml")
SCORE_TOPIC = "user-score"
TOPIC_NAME = re.compile(r"^[a-z][a-z0-9-]{0,248}$")

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MINUTE_MS = 60_000
MAX_HORIZON_MS = 24 * 60 * _MINUTE_MS
"""Longest memory for event ids: a job keeps every id that long."""
_DURATION = re.compile(r"^(\d{1,9})(ms|s|m|h|d)$")


class Cleanup(StrEnum):
    """What Kafka does with old records of a topic."""

    DELETE = "delete"  # drop records older than the retention
    COMPACT = "compact"  # keep the newest record of each key, for ever


def _duration_ms(text: Any) -> Any:
    match = _DURATION.match(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number with ms, s, m, h or d, such as 7d")
    return int(match[1]) * _UNIT_MS[match[2]]


def _topic_name(name: str) -> str:
    if not TOPIC_NAME.match(name):
        raise ValueError(f"{name!r} is not a topic name: use small letters, digits and -, a letter first")
    return name


DurationMs = Annotated[int, BeforeValidator(_duration_ms)]
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


class EventIds(BaseModel):
    """Events carry an `event_id`; jobs drop copies that come within `horizon` (ms of processing time)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: DurationMs
    key: tuple[str, ...] = Field(default=("user_id", "event_id"), min_length=1, description="What a copy repeats.")

    @field_validator("horizon")
    @classmethod
    def _whole_minutes(cls, horizon: int) -> int:
        if horizon % _MINUTE_MS or not _MINUTE_MS <= horizon <= MAX_HORIZON_MS:
            raise ValueError("the horizon of event ids is a whole number of minutes, from 1m to 24h, such as 12m")
        return horizon


class _Declared(_Common):
    """One entry of `topics:`."""

    description: str = Field(min_length=1)
    event_ids: EventIds | None = None


class _TopicsFile(BaseModel):
    """The whole of `topics.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topics: dict[TopicName, _Declared]
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
    event_ids: EventIds | None = Field(
        default=None, description="Set where the events carry ids; None: no copy is told."
    )


def load_event_ids(path: Path = TOPICS_FILE) -> dict[str, EventIds]:
    """The declared topics whose events carry ids, by name.

    Raises:
        CatalogueError: the file is not usable; says why.
    """
    return {name: entry.event_ids for name, entry in _read(path).topics.items() if entry.event_ids is not None}


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
        event_ids=entry.event_ids if isinstance(entry, _Declared) else None,
    )


def _read(path: Path) -> _TopicsFile:
    try:
        return _TopicsFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error

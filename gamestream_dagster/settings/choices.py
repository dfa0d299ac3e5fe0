"""The choices that settings offer."""

from __future__ import annotations

from enum import StrEnum


class TopicFormat(StrEnum):
    """How the records of a topic are encoded; a topic holds one of the two."""

    JSON = "json"
    AVRO = "avro"


class RecomputeEngine(StrEnum):
    """What recomputes the boards of a reconciliation; both give the same rows."""

    DUCKDB = "duckdb"  # in the process, on one machine
    FLINK = "flink"  # a batch job on the Flink cluster, for more events than one machine's


class Season(StrEnum):
    """How long the seasons are that boards are kept for, beside those of all time."""

    NONE = "none"  # no seasons: their boards, and the job that writes them, are not wanted
    HOURLY = "hourly"
    DAILY = "daily"  # from midnight in UTC
    WEEKLY = "weekly"  # from Monday, midnight in UTC


class Ranks(StrEnum):
    """Whose ranks are kept."""

    BOARDS = "boards"  # of those on a board
    ALL = "all"  # of every player, too: one more job, Valkey and a loader


class StreamProfile(StrEnum):
    """What the streaming jobs are tuned for; the boards are the same."""

    DEFAULT = "default"  # throughput: batches of half a second, Kafka boards exactly once, visible at checkpoints
    LOW_LATENCY = "low-latency"  # a change is to be seen within a tenth of a second; Kafka boards at least once


class TopicProfile(StrEnum):
    """Which partition counts the topics get."""

    LAPTOP = "laptop"
    PROD = "prod"

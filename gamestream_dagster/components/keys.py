"""Asset keys and groups: one place that knows how a thing's name becomes its key."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

import dagster as dg

DEFAULT_OWNER = "team:game-analytics"


# The rows of the boards are recorded every fourth hour.
RECORDED_WITHIN = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=9), warn_window=timedelta(hours=5))
# The boards are proven, and the events archived, every 15 minutes: two that are missed warn, four fail.
PROVEN_WITHIN = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=65), warn_window=timedelta(minutes=35))


class Group(StrEnum):
    """Groups of the asset graph, in the order in which data flows."""

    PROVISIONING = "provisioning"  # topics, subjects, tables
    STREAMING = "streaming"  # Flink SQL jobs and their boards
    ARCHIVE = "archive"  # events copied to Parquet
    RECONCILIATION = "reconciliation"  # boards against their recompute
    SERVING = "serving"  # what people look at


def topic_key(topic: str) -> dg.AssetKey:
    """`user-score` -> topic/user_score; a key cannot hold `-`."""
    return dg.AssetKey(["topic", _plain(topic)])


def subject_key(subject: str) -> dg.AssetKey:
    """`user-score-value` -> subject/user_score_value."""
    return dg.AssetKey(["subject", _plain(subject)])


def table_key(table: str) -> dg.AssetKey:
    """`top_teams` -> table/top_teams."""
    return dg.AssetKey(["table", table])


def job_key(job: str) -> dg.AssetKey:
    """`leaderboards_v1` -> job/leaderboards_v1."""
    return dg.AssetKey(["job", job])


def board_key(board: str) -> dg.AssetKey:
    """`top_teams` -> board/top_teams."""
    return dg.AssetKey(["board", board])


def archive_key(topic: str) -> dg.AssetKey:
    """`user-score` -> archive/user_score."""
    return dg.AssetKey(["archive", _plain(topic)])


RECONCILIATION = dg.AssetKey(["reconciliation", "leaderboards"])
CLOSED_SEASONS = dg.AssetKey(["serving", "closed_seasons"])
LEADERBOARDS_PAGE = dg.AssetKey(["serving", "leaderboards_page"])


def _plain(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")

"""Asset keys and groups."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

import dagster as dg

from gamestream_dagster.catalogue import asset_names

DEFAULT_OWNER = "team:game-analytics"


# A schedule records the rows of the boards every four hours.
RECORDED_WITHIN = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=9), warn_window=timedelta(hours=5))
# Proof and archive run every 15 minutes: two missed runs warn, four fail.
PROVEN_WITHIN = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=65), warn_window=timedelta(minutes=35))


class Group(StrEnum):
    """Groups of the asset graph, in the order of the data flow."""

    PROVISIONING = "provisioning"  # topics, subjects, tables, enrichment data
    STREAMING = "streaming"  # Flink SQL jobs and their boards
    ARCHIVE = "archive"  # events copied to Parquet
    METRICS = "metrics"  # settled days of game events
    RECONCILIATION = "reconciliation"  # boards against their recompute
    SERVING = "serving"  # pages and APIs


def topic_key(topic: str) -> dg.AssetKey:
    """Key of a Kafka topic."""
    return dg.AssetKey(asset_names.topic_name(topic))


def subject_key(subject: str) -> dg.AssetKey:
    """Key of a schema registry subject."""
    return dg.AssetKey(asset_names.subject_name(subject))


def table_key(table: str) -> dg.AssetKey:
    """Key of a Postgres table."""
    return dg.AssetKey(asset_names.table_name(table))


def job_key(job: str) -> dg.AssetKey:
    """Key of a Flink SQL job."""
    return dg.AssetKey(asset_names.job_name(job))


def board_key(board: str) -> dg.AssetKey:
    """Key of a board."""
    return dg.AssetKey(asset_names.board_name(board))


def metric_key(metric: str) -> dg.AssetKey:
    """Key of a settled metric."""
    return dg.AssetKey(asset_names.metric_name(metric))


def archive_key(topic: str) -> dg.AssetKey:
    """Key of a topic's archive."""
    return dg.AssetKey(asset_names.archive_name(topic))


RECONCILIATION = dg.AssetKey(asset_names.RECONCILIATION)
INTAKE_PROOF = dg.AssetKey(asset_names.INTAKE_PROOF)
CLOSED_SEASONS = dg.AssetKey(asset_names.CLOSED_SEASONS)
LEADERBOARDS_PAGE = dg.AssetKey(asset_names.LEADERBOARDS_PAGE)
INGEST_API = dg.AssetKey(asset_names.INGEST_API)
SERVING_API = dg.AssetKey(asset_names.SERVING_API)
ALERTS = dg.AssetKey(asset_names.ALERTS)
GEO_TABLE = dg.AssetKey(asset_names.GEO_TABLE)
DEVICE_TABLE = dg.AssetKey(asset_names.DEVICE_TABLE)

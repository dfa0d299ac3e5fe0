"""The system's tables in Postgres: their one definition. `described_tables` adds those of boards and metrics."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from gamestream_dagster.warehouse.comments import describe
from gamestream_dagster.warehouse.ledger_parts import PREFIX

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


def _time() -> TIMESTAMP:
    return TIMESTAMP(timezone=True)


system = MetaData(naming_convention=NAMING)
"""The system tables alone; `described_tables.load_metadata` gives these and those of boards and metrics."""

deployments = Table(
    "deployments",
    system,
    Column("deployment_id", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("flink_job_id", Text),
    Column("state", Text, nullable=False),
    Column("upgrade_mode", Text),
    Column("restore_path", Text),
    Column("savepoint_path", Text),
    Column("submitted_at", _time()),
    Column("running_at", _time()),
    Column("ended_at", _time()),
    Column("outcome", Text),
    Column("reason", Text),
    Column("spec", JSONB),
    Column("compiled_plan", Text),
    Column("version", Integer),
    UniqueConstraint("job", "generation"),
)

incidents = Table(
    "incidents",
    system,
    Column("incident_id", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("opened_at", _time(), nullable=False),
    Column("closed_at", _time()),
    Column("kind", Text, nullable=False),
    Column("attempt", Integer),
    Column("summary", Text),
    Column("timeline", JSONB),
)

reconciliation_runs = Table(
    "reconciliation_runs",
    system,
    Column("run_id", Text, primary_key=True),
    Column("started_at", _time(), nullable=False),
    Column("finished_at", _time()),
    Column("mode", Text, nullable=False),
    Column("verdict", Text),
    Column("reason", Text),
    Column("job", Text),
    Column("flink_job_id", Text),
    Column("fingerprint", Text),
    Column("checkpoint_id", BigInteger),
    Column("bracket_events", BigInteger),
    Column("rows_compared", Integer),
    Column("rows_equal", Integer),
    Column("rows_different", Integer),
    Column("rows_unexplained", Integer),
    Column("seconds", Double),
    Column("report_path", Text),
    Column("boards", JSONB),
)

reconciliation_topics = Table(
    "reconciliation_topics",
    system,
    Column("run_id", Text, ForeignKey("reconciliation_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("verdict", Text),
    Column("reason", Text),
    Column("boards", JSONB),
    Column("topic_id", Text),
    Column("low_cut", JSONB),
    Column("high_cut", JSONB),
    Column("holds_from", JSONB),
    Column("archive_head", Text),
    Column("ledger", JSONB),
)

differences = Table(
    "differences",
    system,
    Column("run_id", Text, ForeignKey("reconciliation_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("difference_id", Integer, primary_key=True, autoincrement=False),
    Column("board", Text, nullable=False),
    Column("sink", Text, nullable=False),
    Column("rnk", BigInteger),
    Column("entity", Text),
    Column("kind", Text, nullable=False),
    Column("column_name", Text),
    Column("streamed", JSONB),
    Column("recomputed", JSONB),
    Column("cause", Text, nullable=False),
    Column("accepted", Boolean),
    Column("explanation", Text),
    Column("action", Text),
    Column("evidence", JSONB),
)

ledger = Table(
    "ledger",
    system,
    Column("topic", Text, primary_key=True),
    Column("chapter", Integer, primary_key=True, autoincrement=False, server_default="1"),
    Column("partition_id", Integer, primary_key=True, autoincrement=False),
    Column("minute", _time(), primary_key=True),
    Column("records", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    Column("dead_lettered", BigInteger, nullable=False),
    Column("reasons", JSONB),
    Column("first_offset", BigInteger),
    Column("last_offset", BigInteger),
)

job_ledger = Table(
    "job_ledger",
    system,
    Column("job", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition_id", Integer, primary_key=True, autoincrement=False),
    Column("minute_millis", BigInteger, primary_key=True, autoincrement=False),
    Column("records", BigInteger),
    Column("accepted", BigInteger),
    Column("duplicate", BigInteger),
    Column("offset_sum", BigInteger),
    Column("offset_square_sum", BigInteger),
    Column("first_offset", BigInteger),
    Column("last_offset", BigInteger),
    postgresql_partition_by="LIST (topic)",  # see ledger_parts.py
)
"""What a job itself counted, by topic, partition and minute of the Kafka timestamp; one more row covers the whole
partition.

The sums are of `offset % 1,000,000` and of its square: with the number of records they name a run of offsets that the
job lacks or has twice.
"""

WHOLE_PARTITION = -1
"""`minute_millis` of the row that is of the whole partition."""

closed_seasons = Table(
    "closed_seasons",
    system,
    Column("board", Text, primary_key=True),
    Column("season_id", _time(), primary_key=True),
    Column("season", Text, nullable=False),
    Column("closed_at", _time(), nullable=False),
    Column("rows", JSONB, nullable=False),
    Column("certificate", JSONB, nullable=False),
)

alerts = Table(
    "alerts",
    system,
    Column("alert_id", Text, primary_key=True),
    Column("raised_at", _time(), nullable=False),
    Column("source", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", JSONB),
    Column("cleared_at", _time()),
    Column("announced_at", _time()),
)

alert_states = Table(
    "alert_states",
    system,
    Column("alert_id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("evaluated_at", Double, nullable=False),
    Column("pending_since", Double),
    Column("fired_at", Double),
    Column("told_blind", Boolean, nullable=False),
    Column("value", Double),
    Column("message", Text, nullable=False),
    Column("why", Text, nullable=False),
)

alert_samples = Table(
    "alert_samples",
    system,
    Column("series", Text, primary_key=True),
    Column("at", Double, primary_key=True, autoincrement=False),
    Column("labels", Text, primary_key=True),
    Column("value", Double, nullable=False),
)

alert_silences = Table(
    "alert_silences",
    system,
    Column("silence_id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", _time(), nullable=False),
    Column("ends_at", _time(), nullable=False),
)

alert_messages = Table(
    "alert_messages",
    system,
    Column("message_id", Text, primary_key=True),
    Column("alert_id", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", JSONB),
    Column("created_at", _time(), nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", _time(), nullable=False),
    Column("finished_at", _time()),
    Column("last_error", Text),
)

ingest_keys = Table(
    "ingest_keys",
    system,
    Column("key_id", Text, primary_key=True),
    Column("app", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("secret_sha256", Text, nullable=False),
    Column("signed", Boolean, nullable=False),
    Column("created_at", _time(), nullable=False),
    Column("expires_at", _time()),
    Column("revoked_at", _time()),
    Column("replaces", Text),
)

ingest_counts = Table(
    "ingest_counts",
    system,
    Column("key_id", Text, primary_key=True),
    Column("minute", _time(), primary_key=True),
    Column("received", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("retry", BigInteger, nullable=False),
)

ingest_journals = Table(
    "ingest_journals",
    system,
    Column("name", Text, primary_key=True),
    Column("folded", BigInteger, nullable=False),
)

metric_settlements = Table(
    "metric_settlements",
    system,
    Column("metric", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("settle_version", Integer, primary_key=True, autoincrement=False),
    Column("settled_at", _time(), nullable=False),
    Column("reason", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("file_sha256", Text, nullable=False),
    Column("chapter", Integer),
    Column("archived_upto", JSONB),
    Column("history_upto", BigInteger),
    Column("complete_at", JSONB),
    Column("inputs", JSONB, nullable=False),
    Column("late_events", BigInteger, nullable=False),
    Column("failed_checks", JSONB, nullable=False),
)

metric_settlement_events = Table(
    "metric_settlement_events",
    system,
    Column("metric", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("settle_version", Integer, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("chapter", Integer, nullable=False),
    Column("partition_id", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("user_id", Text),
    Column("event_type", Text, nullable=False),
    Column("event_time", _time(), nullable=False),
)

live_comparisons = Table(
    "live_comparisons",
    system,
    Column("metric", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("settle_version", Integer, nullable=False),
    Column("compared_at", _time(), nullable=False),
    Column("verdict", Text, nullable=False),
    Column("numbers", Integer, nullable=False),
    Column("differing", Integer, nullable=False),
    Column("causes", JSONB, nullable=False),
)

erase_requests = Table(
    "erase_requests",
    system,
    Column("request", Integer, primary_key=True, autoincrement=False),
    Column("subject", Text, nullable=False),
    Column("player", Text),
    Column("state", Text, nullable=False),
    Column("requested_at", _time(), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("suppressed_at", _time()),
    Column("finished_at", _time()),
    Column("plan", JSONB, nullable=False),
    Column("steps", JSONB, nullable=False),
    Column("certificate", JSONB),
)

describe(system)

SYSTEM_TABLES: tuple[str, ...] = tuple(system.tables)


def is_system_table(name: str) -> bool:
    """Whether no output may have this name: it is a system table, or a part of the jobs' ledger."""
    return name in SYSTEM_TABLES or name.startswith(PREFIX)

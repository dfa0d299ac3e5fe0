"""The parts of `job_ledger`, one for each topic: a job writes its counts of a topic into the part of that topic.

The topic is a constant of each part, so a job's SQL does not select it. As a column of the sink it would have to be
part of the key of the job's aggregate, whose state would no longer fit; with any other key Flink deletes a row before
it writes it anew, and a reader finds it missing now and then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlalchemy import Connection, inspect, text

PREFIX = "job_ledger_"
JOB_KEY = ("job", "partition_id", "minute_millis")
"""Key of a row within its part: what a job's sink upserts by."""

_LONGEST = 63
"""Bytes of an identifier in Postgres; the rest would be cut off silently."""


def ledger_part(topic: str) -> str:
    """Name of the part of a topic: `user-score` -> `job_ledger_user_score`."""
    name = PREFIX + topic.replace("-", "_")
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}_{hashlib.sha256(topic.encode()).hexdigest()[:8]}"


def missing_parts(connection: Connection, topics: Iterable[str]) -> list[str]:
    """The topics whose part does not exist, in their order."""
    inspector = inspect(connection)
    return [topic for topic in topics if not inspector.has_table(ledger_part(topic))]


def create_parts(connection: Connection, topics: Iterable[str]) -> None:
    """Create the parts that do not exist."""
    quote = connection.dialect.identifier_preparer.quote
    for topic in missing_parts(connection, topics):
        literal = "'" + topic.replace("'", "''") + "'"
        connection.execute(
            text(
                f"CREATE TABLE {quote(ledger_part(topic))} PARTITION OF job_ledger "
                f"(topic DEFAULT {literal}, UNIQUE ({', '.join(JOB_KEY)})) FOR VALUES IN ({literal})"
            )
        )

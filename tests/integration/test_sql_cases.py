"""The cases of `flink_sql/*/tests` through real Flink: the job's own files, on a topic of the case's own that ends.

tests/unit/flink_sql/test_cases_recompute.py sends the same cases through the recompute. A table over a file would not
do: it assigns the watermark after the source, where no NULL is taken, and NULL is the time of a record from the future.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer

from gamestream_dagster.catalogue.boards import Board, ColumnRole, ColumnType
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway, StatementResult
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.flink_jobs.target.render import bindings_for, render
from gamestream_dagster.flink_jobs.target.targets import target_for
from gamestream_dagster.settings import Settings, StreamProfile
from tests.support.sql_cases import Case, assert_rows, load_cases

Row = dict[str, Any]
TYPES = {
    "bigint": "BIGINT",
    "string": "STRING",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMP_LTZ(3)",
    "boolean": "BOOLEAN",
}
ADDS = {"INSERT": 1, "UPDATE_AFTER": 1, "UPDATE_BEFORE": -1, "DELETE": -1}


# Every case goes through the jobs as they are deployed, and four through each variant: the gate of `gamestream bench`
# compares the boards of a variant with the recompute over many more events.
LOW_LATENCY = (
    "leaderboards_v1-copies_count_once",
    "leaderboards_v1-shares_that_no_float_tells_apart",
    "hot_streaks_v1-window_edges",
    "season_boards_v1-borders_of_a_day",
)
WITHOUT_IDS = (
    "leaderboards_v1-names_by_their_bytes",
    "leaderboards_v1-player_in_two_teams",
    "hot_streaks_v1-stopped_player_leaves",
    "leaderboards_v1-mvp_tie_inside_a_team",
)
CASES = {str(case): case for case in load_cases()}


def has_copies(case: Case) -> bool:
    found = ((one.key, text) for one in case.records for text in re.findall(rb'"event_id":"[^"]*"', one.value))
    return any(count > 1 for count in Counter(found).values())


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_flink_gives_the_rows(stack: Settings, case: Case):
    expect(stack, case, load_job(case.job))


@pytest.mark.parametrize("name", LOW_LATENCY)
def test_flink_gives_the_rows_with_low_latency(stack: Settings, name: str):
    quick = stack.model_copy(update={"stream_profile": StreamProfile.LOW_LATENCY})
    expect(quick, CASES[name], load_job(CASES[name].job))


@pytest.mark.parametrize("name", WITHOUT_IDS)
def test_flink_gives_the_rows_where_events_carry_no_ids(stack: Settings, name: str):
    assert not has_copies(CASES[name])
    expect(stack, CASES[name], load_job(CASES[name].job, dedup={}))


def expect(settings: Settings, case: Case, spec: JobSpec) -> None:
    """The rows of the case, from this variant of its job."""
    with topic_of(settings, case) as topic:
        changes = run(settings, case, over_case(spec, case.source.topic, topic), topic)
    for board in case.boards:
        held, seen = fold(board, changes)
        if board.window is None:
            assert_rows(board, held, at_the_end(board, case.expected[board.name]))
            continue
        ticks = case.ticks[board.name]
        as_of = board.window.as_of
        for tick, expected in ticks.items():
            assert_rows(board, [row for row in seen if row[as_of] == tick], expected)
        # The table keeps the rows of older ticks at the ranks that the newest has not: readers take the newest.
        newest = max((tick for tick, rows in ticks.items() if rows), default=None)
        assert max((row[as_of] for row in held), default=None) == newest
        if newest is not None:
            assert_rows(board, [row for row in held if row[as_of] == newest], ticks[newest])


def at_the_end(board: Board, rows: list[Row]) -> list[Row]:
    """A topic that ends moves the watermark beyond every minute."""
    final = [name for name, column in board.columns.items() if column.role is ColumnRole.FINAL]
    return [row | dict.fromkeys(final, True) for row in rows]


@contextmanager
def topic_of(settings: Settings, case: Case) -> Iterator[str]:
    """The case's records in a topic that lives as long as the block."""
    admin = KafkaAdmin(settings.kafka)
    topic = f"case-{uuid.uuid4().hex[:12]}"
    # the cases' times are long past: without this Kafka might delete the records at once
    admin.create(topic, 1 + max(record.partition for record in case.records), {"retention.ms": "-1"})
    try:
        producer = Producer(settings.kafka.options({"linger.ms": 0, "enable.idempotence": True}))
        for record in case.records:
            producer.produce(
                topic, key=record.key, value=record.value, partition=record.partition, timestamp=record.kafka_time
            )
        assert producer.flush(30) == 0
        assert admin.end_offsets(topic) == case.cut
        yield topic
    finally:
        admin.delete(topic)


def run(settings: Settings, case: Case, spec: JobSpec, topic: str) -> StatementResult:
    """All changes of all boards of the job, in one statement: column `board`, and every column of the boards."""
    rendered = render(spec, bindings_for(settings, topic))
    # a failing job must say so at once, and not try again until the limit
    options = {**target_for(settings, spec).options, "restart-strategy.type": "none"}
    gateway = SqlGateway(settings.flink_gateway, secrets=(settings.postgres_password_value,))
    try:
        with gateway.session(f"case-{case}", options) as session:
            for statement in rendered.definitions:
                session.execute(statement)
            return session.execute(all_boards(case.boards))
    finally:
        gateway.close()


def over_case(spec: JobSpec, of: str, topic: str) -> JobSpec:
    """The job as it is, but for the source that reads `of`: another topic, and an end."""
    (source,) = (file for file in spec.sources if f"'topic' = '{of}'" in file.text)
    changed = source.text.replace(f"'topic' = '{of}'", f"'topic' = '{topic}',\n  'scan.bounded.mode' = 'latest-offset'")
    files = tuple(SqlFile(path=file.path, text=changed) if file is source else file for file in spec.sources)
    return spec.model_copy(update={"sources": files})


def all_boards(boards: list[Board]) -> str:
    """One query for the views of all boards; a column that a board lacks is NULL."""
    # a time in the key is text in the view
    types = {
        name: "STRING" if column.role is ColumnRole.KEY and column.type is ColumnType.TIMESTAMP else TYPES[column.type]
        for board in boards
        for name, column in board.columns.items()
    }
    selects = []
    for board in boards:
        columns = [
            f"`{name}`" if name in board.columns else f"CAST(NULL AS {kind}) AS `{name}`"
            for name, kind in types.items()
        ]
        selects.append(f"SELECT '{board.name}' AS board, {', '.join(columns)} FROM {board.name}")
    return "\nUNION ALL\n".join(selects)


def fold(board: Board, changes: StatementResult) -> tuple[list[Row], list[Row]]:
    """The rows that a board holds after all changes, and all that it ever held."""
    held: Counter[tuple[tuple[str, Any], ...]] = Counter()
    seen: dict[tuple[tuple[str, Any], ...], None] = {}
    for kind, values in zip(changes.kinds, changes.rows, strict=True):
        row = dict(zip(changes.columns, values, strict=True))
        if row["board"].rstrip() != board.name:
            continue
        key = tuple((name, plain(row[name], column.type)) for name, column in board.columns.items())
        held[key] += ADDS[kind]
        seen[key] = None
    assert all(count in (0, 1) for count in held.values()), f"{board.name} takes back what it never gave: {held}"
    by_rank: dict[tuple[int, ...], list[Row]] = defaultdict(list)
    for key, count in held.items():
        if count:
            by_rank[tuple(dict(key)[name] for name in board.key_columns)].append(dict(key))
    assert all(len(rows) == 1 for rows in by_rank.values()), f"{board.name} has two rows of one rank: {by_rank}"
    return [row for rows in by_rank.values() for row in rows], [dict(key) for key in seen]


def plain(value: Any, kind: ColumnType) -> Any:
    """The gateway writes a time as text in UTC; milliseconds since 1970 here."""
    if kind is not ColumnType.TIMESTAMP:
        return value
    at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)

"""Right rows of the boards for tests of what reads them, and a database of its own for each test that writes some."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata

HOSTILE = "<script>alert(1)</script>"
PLAYERS = ("ada", "bo", HOSTILE, "dina", "émile", "Zoë", "gus", "hana", "ivo", "jun")
TEAMS = tuple(f"team-{number:02d}" for number in range(10))


def board_rows() -> dict[str, list[dict[str, Any]]]:
    """Ten right rows for each of the four boards; ranks 3 and 4 of players tie, so that the second term decides."""
    totals = (1130, 1103, 990, 990, 917, 880, 861, 802, 700, 650)
    # Bytes decide a tie: '<' stands before 'd'.
    players = [
        {"rnk": rank, "user_id": who, "team_name": f"Team {rank}", "total_score": total}
        for rank, (who, total) in enumerate(zip(PLAYERS, totals, strict=True), 1)
    ]
    teams = [
        {"rnk": rank, "team_id": team, "team_name": f"Team {rank}", "total_score": 3000 - rank * 100}
        for rank, team in enumerate(TEAMS, 1)
    ]
    mvps = [
        {
            "rnk": rank,
            "team_id": team,
            "team_name": f"Team {rank}",
            "user_id": PLAYERS[rank - 1],
            "player_total": 1000 - rank * 90,
            "team_total": 1000,
            "contrib_ratio": (1000 - rank * 90) / 1000,
        }
        for rank, team in enumerate(TEAMS, 1)
    ]
    now = datetime.now(UTC).replace(microsecond=0)
    return {
        "top_players": players,
        "top_teams": teams,
        "team_mvps": mvps,
        "hot_streaks": _streaks(now - timedelta(seconds=now.second % 5)),
    }


def _streaks(as_of: datetime) -> list[dict[str, Any]]:
    rows = []
    for rank, who in enumerate(PLAYERS, 1):
        short_sum, short_count, long_sum, long_count = 33 - rank * 2, 3, 80, 16
        rows.append(
            {
                "as_of": as_of,
                "rnk": rank,
                "user_id": who,
                "short_term_sum": short_sum,
                "short_term_count": short_count,
                "long_term_sum": long_sum,
                "long_term_count": long_count,
                "short_term_avg": short_sum / short_count,
                "long_term_avg": long_sum / long_count,
                "peak_hotness": (short_sum / short_count) / (long_sum / long_count),
            }
        )
    return rows


@contextmanager
def own_database(stack: Settings, tables: bool = True) -> Iterator[Settings]:
    """Settings of a new database on the stack's server, with every table of the catalogue; dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server = engine(stack).execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as link:
        link.exec_driver_sql(f"CREATE DATABASE {name}")
    settings = stack.model_copy(update={"postgres_database": name})
    try:
        if tables:
            database = engine(settings)
            load_metadata().create_all(database)
            database.dispose()
        yield settings
    finally:
        _drop(server, name)
        server.dispose()


def _drop(server: sa.Engine, name: str) -> None:
    """Drop a database; a cleaner of Postgres' own that is in it just now may not be ended, and is soon done."""
    for left in reversed(range(50)):
        try:
            with server.connect() as link:
                link.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        except ProgrammingError:
            if not left:
                raise
            time.sleep(0.1)
        else:
            return


def fill(settings: Settings, rows: dict[str, list[dict[str, Any]]] | None = None) -> None:
    """Put rows (default: right ones) in the boards' tables, in place of what they hold."""
    metadata = load_metadata()
    database = engine(settings)
    with database.begin() as link:
        for board, content in (board_rows() if rows is None else rows).items():
            link.execute(sa.delete(metadata.tables[board]))
            if content:
                link.execute(sa.insert(metadata.tables[board]), content)
    database.dispose()


def reconciled(settings: Settings, verdict: str = "MATCH", **run: Any) -> str:
    """Record a finished reconciliation of 40 rows; gives its run id.

    Columns that `reconciliation_topics` alone has are those of its proof for `user-score`.
    """
    metadata = load_metadata()
    runs, topics = (metadata.tables[name] for name in ("reconciliation_runs", "reconciliation_topics"))
    alone = set(topics.c.keys()) - set(runs.c.keys())
    of_topic = {name: run.pop(name) for name in sorted(alone & set(run))}
    run_id = f"run-{uuid.uuid4().hex[:8]}"
    now = datetime.now(UTC)
    values = {"rows_compared": 40, "rows_equal": 40, "rows_different": 0, "rows_unexplained": 0, "started_at": now}
    values |= {"run_id": run_id, "finished_at": now, "mode": "bracket", "verdict": verdict, **run}
    write(settings, sa.insert(runs).values(values))
    if of_topic:
        proof = {"run_id": run_id, "topic": "user-score", "verdict": verdict, **of_topic}
        write(settings, sa.insert(topics).values(proof))
    return run_id


def difference(settings: Settings, run_id: str, **found: Any) -> None:
    """Record one difference of a run."""
    values = {"run_id": run_id, "difference_id": 1, "board": "top_players", "sink": "postgres", "rnk": 2}
    values |= {
        "entity": "bo",
        "kind": "VALUE",
        "column_name": "total_score",
        "cause": "UNEXPLAINED",
        "action": "look",
        **found,
    }
    write(settings, sa.insert(load_metadata().tables["differences"]).values(values))


def counted(settings: Settings, minutes: int = 3, **last: Any) -> dict[str, Any]:
    """Put minutes of two partitions into the ledger; gives their balance, as a run stores it."""
    table = load_metadata().tables["ledger"]
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes)
    outcome = {"records": 100, "accepted": 90, "duplicate": 5, "late": 3, "dead_lettered": 2}
    rows = [
        {
            "topic": "user-score",
            "partition_id": partition,
            "minute": start + timedelta(minutes=minute),
            "first_offset": minute * 100,
            "last_offset": minute * 100 + 99,
            "reasons": {"NOT_JSON": 2},
            **outcome,
        }
        for partition in (0, 1)
        for minute in range(minutes)
    ]
    rows[-1] |= last
    write(settings, sa.delete(table))
    write(settings, sa.insert(table).values(rows))
    return {"topic": "user-score", **{name: count * len(rows) for name, count in outcome.items()}}


def write(settings: Settings, statement: sa.Executable) -> None:
    """Run one statement and commit it."""
    database = engine(settings)
    with database.begin() as link:
        link.execute(statement)
    database.dispose()

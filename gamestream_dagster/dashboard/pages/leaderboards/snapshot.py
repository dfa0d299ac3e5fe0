"""The boards and their proofs from one Postgres snapshot; independent of Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.dashboard.reading import Problem, problem_of
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.observe.table_shape import check_tables
from gamestream_dagster.reconciliation.results.proofs import FinishedRun, newest_by_board, newest_run
from gamestream_dagster.serving.queries import loaded, shown_rows
from gamestream_dagster.warehouse.tables import deployments, differences, reconciliation_runs

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Proof:
    """The newest finished reconciliation about a board, and its findings there."""

    run: FinishedRun
    # rank -> causes of the differences found there; None as rank: a row that is missing
    differing: Mapping[int | None, tuple[str, ...]] = field(default_factory=dict)
    accepted: bool = False  # the policy accepts all of them


@dataclass(frozen=True)
class Snapshot:
    """One read of Postgres. Either `problem` is set, or the rest is from one instant."""

    read_at: datetime
    rows: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)  # by board, in rank order
    missing: frozenset[str] = frozenset()  # boards without a table
    job_states: Mapping[str, str] = field(default_factory=dict)  # job -> state of its last deployment
    last: FinishedRun | None = None  # the newest finished reconciliation, whatever it was about
    proofs: Mapping[str, Proof] = field(default_factory=dict)  # by board
    problem: Problem | None = None


def read_snapshot(engine: Engine, boards: Mapping[str, Board]) -> Snapshot:
    """All boards, the state of their jobs and their verdicts, in one read-only transaction.

    Never raises for an unreachable server or a missing table: those return as a `Problem`.
    """
    now = datetime.now(UTC)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as link:
            present = set(sa.inspect(link).get_table_names())
            if not present & set(boards):
                return Snapshot(now, problem=_no_tables())
            check_tables(link, [board for name, board in boards.items() if name in present])
            return Snapshot(
                read_at=now,
                rows={
                    name: tuple(loaded(board, row) for row in shown_rows(link, board))
                    for name, board in boards.items()
                    if name in present
                },
                missing=frozenset(set(boards) - present),
                job_states=_job_states(link) if deployments.name in present else {},
                **(_proven(link, boards) if present >= {reconciliation_runs.name, differences.name} else {}),
            )
    except CouldNotLookError as error:
        return Snapshot(now, problem=Problem("A board's table was changed", str(error), "gamestream plan"))
    except (ServiceError, DBAPIError) as error:
        return Snapshot(now, problem=problem_of(error))


def _no_tables() -> Problem:
    return Problem("No boards yet", "Postgres answers, but the boards have no tables.", "gamestream apply")


def _job_states(link: Connection) -> dict[str, str]:
    last = (
        sa.select(deployments.c.job, deployments.c.state)
        .distinct(deployments.c.job)
        .order_by(deployments.c.job, deployments.c.generation.desc())
    )
    return {row.job: row.state for row in link.execute(last)}


def _proven(link: Connection, boards: Mapping[str, Board]) -> dict[str, Any]:
    last = newest_run(link)
    runs = newest_by_board(link, boards) if last is not None else {}
    found = differences.c
    ours = sa.tuple_(found.run_id, found.board).in_([(run.run_id, board) for board, run in runs.items()])
    select = sa.select(found.board, found.rnk, found.cause, found.accepted).where(ours).distinct().limit(1000)
    differing: dict[str, dict[int | None, tuple[str, ...]]] = {}
    refused: set[str] = set()
    for row in link.execute(select.order_by(found.board, found.rnk, found.cause)):
        ranks = differing.setdefault(row.board, {})
        ranks[row.rnk] = tuple(dict.fromkeys((*ranks.get(row.rnk, ()), row.cause)))
        if not row.accepted:
            refused.add(row.board)
    proofs = {board: Proof(run, differing.get(board, {}), accepted=board not in refused) for board, run in runs.items()}
    return {"last": last, "proofs": proofs}

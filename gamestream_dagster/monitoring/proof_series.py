"""Series about proofs, and about the messages of the alerts themselves."""

from __future__ import annotations

import math

from sqlalchemy import Connection

from gamestream_dagster.alerts.delivery import addresses
from gamestream_dagster.alerts.messages import waiting_by_route
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.results.board_verdicts import findings_of
from gamestream_dagster.reconciliation.results.proofs import FinishedRun, newest_by_board
from gamestream_dagster.settings import Settings

_CORRECT = {Verdict.MATCH: 1.0, Verdict.EXPLAINED: 1.0, Verdict.DIFFERENT: 0.0}


def verdicts(settings: Settings, now: float) -> list[Sample]:
    """The newest verdict on each board and its age; nothing about a board that was never proven."""
    boards = load_boards(season=settings.season)
    with open_engine(settings) as engine, engine.connect() as connection:
        runs = newest_by_board(connection, boards)
        found = findings_of(connection, runs.values())
        return [
            sample for board, run in runs.items() for sample in of_board(board, found.of(run, board), settings, now)
        ]


def of_board(board: str, run: FinishedRun, settings: Settings, now: float) -> list[Sample]:
    """The samples of one board by its newest run, whose verdict is the board's own.

    A run that could not look says nothing about the board: `board_is_correct` is then NaN.
    """
    report = settings.report_url(run.report_path) if run.report_path else "none"
    evidence = {"run": run.run_id, "verdict": run.verdict, "report": report, "rows": run.rows_compared}
    found = [
        Sample(
            "reconciliation_verdict",
            labels_of({"board": board, "verdict": verdict.value}),
            now,
            float(run.verdict == verdict.value),
            evidence,
        )
        for verdict in Verdict
    ]
    labels = labels_of({"board": board})
    age = max(0.0, now - run.finished_at.timestamp())
    found.append(Sample("reconciliation_age_seconds", labels, now, age, evidence))
    found.append(Sample("board_is_correct", labels, now, _CORRECT.get(Verdict(run.verdict), math.nan), evidence))
    return found


def messages(settings: Settings, now: float) -> list[Sample]:
    """Messages that wait, of each route with an address."""
    book = load_book(settings.home)
    with open_engine(settings) as engine, engine.connect() as connection:
        return waiting(connection, sorted(addresses(book)), now)


def waiting(connection: Connection, routes: list[str], now: float) -> list[Sample]:
    """`alert_messages_waiting` of these routes."""
    counts = waiting_by_route(connection)
    return [
        Sample("alert_messages_waiting", labels_of({"route": name}), now, float(counts.get(name, 0))) for name in routes
    ]

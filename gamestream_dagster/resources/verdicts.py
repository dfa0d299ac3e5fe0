"""What the last reconciliation said about each board, what has been said since, and the alerts that stand."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from gamestream_dagster.alerts.store import Alert, PostgresAlerts, Severity
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.reconciliation.results.proofs import FinishedRun, newest_by_board, runs_since
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import differences

SAMPLE_ROWS = 20
# Dagster ends a sensor's tick after 60 s: a server that hangs must be told before that.
STATEMENT_TIMEOUT_SECONDS = 10
SAMPLE_COLUMNS = ("rank", "entity", "sink", "kind", "column", "streamed", "recomputed", "cause", "accepted", "do")
_SAMPLED = (
    *("rnk", "entity", "sink", "kind", "column_name", "streamed", "recomputed", "cause"),
    *("accepted", "action"),
)


@dataclass(frozen=True)
class DifferenceSample:
    """The differences of one board. `causes` counts all of them; `rows` holds the first 20."""

    causes: Mapping[str, int] = field(default_factory=dict[str, int])
    accepted: int = 0
    """How many of them the policy accepts."""
    rows: tuple[tuple[Any, ...], ...] = ()

    @property
    def count(self) -> int:
        """Differences of the board."""
        return sum(self.causes.values())


@dataclass(frozen=True)
class BoardVerdict:
    """The newest finished run that was about a board, and what it found there."""

    run: FinishedRun
    found: DifferenceSample


class Verdicts:
    """The reconciliation tables of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def of_boards(self, boards: Sequence[str]) -> dict[str, BoardVerdict]:
        """For each board the newest finished run that was about it; boards without one are left out."""
        with self._read() as connection:
            runs = newest_by_board(connection, boards)
            return {board: BoardVerdict(run, _sample(connection, run.run_id, board)) for board, run in runs.items()}

    def since(self, time: datetime | None, most: int) -> list[FinishedRun]:
        """Finished runs from a time on (None: the newest), oldest first, at most `most`."""
        with self._read() as connection:
            return runs_since(connection, time, most)

    def report_url(self, report: Path | str) -> str:
        """Where a browser finds a report."""
        return self._settings.report_url(report)

    def data_docs_url(self) -> str:
        """Where a browser finds the Data Docs of the last full run of the suites."""
        return self._settings.report_url(self._settings.reports_dir / "data_docs" / "index.html")

    def raise_alert(self, alert_id: str, severity: Severity, summary: str, details: Mapping[str, Any]) -> None:
        """Let one alert stand under `alert_id`: a repetition updates it and keeps the time of the first."""
        with self._opened() as opened:
            PostgresAlerts(opened).raise_alert(Alert(alert_id, "reconciliation", severity, summary, details))

    def clear_alert(self, alert_id: str) -> None:
        """End the alert, if it stands."""
        with self._opened() as opened:
            PostgresAlerts(opened).clear_alert(alert_id)

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._opened() as opened, opened.connect() as connection:
            yield connection

    @contextmanager
    def _opened(self) -> Iterator[sa.Engine]:
        opened = engine(self._settings, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS)
        try:
            yield opened
        finally:
            opened.dispose()


def _sample(connection: sa.Connection, run_id: str, board: str) -> DifferenceSample:
    found = differences.c
    ours = sa.and_(found.run_id == run_id, found.board == board)
    accepted = sa.func.count().filter(found.accepted.is_(True))
    counts = connection.execute(sa.select(found.cause, sa.func.count(), accepted).where(ours).group_by(found.cause))
    causes: list[tuple[str, int, int]] = [(row[0], row[1], row[2]) for row in counts]
    rows = sa.select(*(found[name] for name in _SAMPLED)).where(ours).order_by(found.difference_id)
    return DifferenceSample(
        causes={cause: count for cause, count, _ in causes},
        accepted=sum(row[2] for row in causes),
        rows=tuple(tuple(row) for row in connection.execute(rows.limit(SAMPLE_ROWS))),
    )


class VerdictsResource(dg.ConfigurableResource[Verdicts]):
    """Opens the reconciliation tables of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Verdicts:
        """A plain reader."""
        return Verdicts(self.stack)

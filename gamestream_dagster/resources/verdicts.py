"""What the last reconciliation said about each board, and the alert that stands while it says something bad."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import alerts, differences, reconciliation_runs

SAMPLE_ROWS = 20


@dataclass(frozen=True)
class DifferenceSample:
    """Some differences of one board. `causes` counts all of them; `rows` holds the first 20."""

    causes: Mapping[str, int]
    rows: tuple[tuple[Any, ...], ...]

    @property
    def count(self) -> int:
        """Differences of the board."""
        return sum(self.causes.values())


SAMPLE_COLUMNS = ("rank", "entity", "sink", "kind", "column", "streamed", "recomputed", "cause")
NO_DIFFERENCE = DifferenceSample(causes={}, rows=())


@dataclass(frozen=True)
class LastReconciliation:
    """The newest finished reconciliation, with the differences of the boards that have any."""

    run_id: str
    finished_at: datetime
    verdict: str
    reason: str
    report_path: str
    boards: Mapping[str, DifferenceSample]


class Verdicts:
    """The reconciliation tables of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def last(self) -> LastReconciliation | None:
        """The newest finished reconciliation; None when there was none."""
        runs = reconciliation_runs.c
        newest = sa.select(runs.run_id, runs.finished_at, runs.verdict, runs.reason, runs.report_path)
        newest = newest.where(runs.finished_at.is_not(None)).order_by(runs.finished_at.desc()).limit(1)
        with open_engine(self._settings) as engine, engine.connect() as connection:
            found = connection.execute(newest).one_or_none()
            if found is None:
                return None
            boards = {board: _sample(connection, found.run_id, board) for board in _boards(connection, found.run_id)}
        return LastReconciliation(
            run_id=found.run_id,
            finished_at=found.finished_at,
            verdict=found.verdict,
            reason=found.reason or "",
            report_path=found.report_path or "",
            boards=boards,
        )

    def raise_alert(self, alert_id: str, severity: str, summary: str, details: Mapping[str, Any]) -> None:
        """Let one alert stand under `alert_id`: a repetition updates it and keeps the time of the first."""
        now = datetime.now(UTC)
        values = {"severity": severity, "summary": summary, "details": dict(details), "cleared_at": None}
        statement = insert(alerts).values(alert_id=alert_id, raised_at=now, source="reconciliation", **values)
        # a cleared alert that comes back is a new one
        first = sa.case((alerts.c.cleared_at.is_(None), alerts.c.raised_at), else_=now)
        statement = statement.on_conflict_do_update(index_elements=["alert_id"], set_={**values, "raised_at": first})
        with open_engine(self._settings) as engine, engine.begin() as connection:
            connection.execute(statement)

    def clear_alert(self, alert_id: str) -> None:
        """End the alert, if it stands."""
        statement = alerts.update().where(alerts.c.alert_id == alert_id, alerts.c.cleared_at.is_(None))
        with open_engine(self._settings) as engine, engine.begin() as connection:
            connection.execute(statement.values(cleared_at=datetime.now(UTC)))


def _boards(connection: sa.Connection, run_id: str) -> list[str]:
    statement = sa.select(differences.c.board).where(differences.c.run_id == run_id).distinct()
    return list(connection.scalars(statement))


def _sample(connection: sa.Connection, run_id: str, board: str) -> DifferenceSample:
    ours = sa.and_(differences.c.run_id == run_id, differences.c.board == board)
    counts = sa.select(differences.c.cause, sa.func.count()).where(ours).group_by(differences.c.cause)
    names = ("rnk", "entity", "sink", "kind", "column_name", "streamed", "recomputed", "cause")
    rows = sa.select(*(differences.c[name] for name in names)).where(ours).order_by(differences.c.difference_id)
    return DifferenceSample(
        causes={row[0]: row[1] for row in connection.execute(counts)},
        rows=tuple(tuple(row) for row in connection.execute(rows.limit(SAMPLE_ROWS))),
    )


class VerdictsResource(dg.ConfigurableResource[Verdicts]):
    """Opens the reconciliation tables of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Verdicts:
        """A plain reader."""
        return Verdicts(self.stack)

"""Stands in for the reconciliation tables: finished runs, and the alerts that stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.resources.verdicts import BoardVerdict, DifferenceSample

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def finished(verdict: str = "MATCH", run_id: str = "r1", at: datetime = NOW, **changes: Any) -> FinishedRun:
    """A finished run that was about all boards."""
    values: dict[str, Any] = {"reason": "", "rows_compared": 40, "report_path": f"/reports/{run_id}.html"}
    return FinishedRun(run_id=run_id, finished_at=at, verdict=verdict, **{**values, "boards": None, **changes})


class FakeVerdicts:
    """Remembers alerts, and says what it was given: one run about every board, and what it found on some."""

    def __init__(
        self, last: FinishedRun | None = None, runs: Sequence[FinishedRun] = (), **found: DifferenceSample
    ) -> None:
        self._last = last
        self._found = found
        self.runs = list(runs)
        self.error: Exception | None = None
        self.asked_since: list[datetime | None] = []
        self.alerts: dict[str, tuple[str, str]] = {}
        self.cleared: list[str] = []

    def of_boards(self, boards: Sequence[str]) -> dict[str, BoardVerdict]:
        if self._last is None:
            return {}
        return {
            board: BoardVerdict(self._last, self._found.get(board, DifferenceSample()))
            for board in boards
            if self._last.about(board)
        }

    def since(self, time: datetime | None, most: int) -> list[FinishedRun]:
        if self.error is not None:
            raise self.error
        self.asked_since.append(time)
        if time is None:
            return self.runs[-most:]
        return [run for run in self.runs if run.finished_at >= time][:most]

    def report_url(self, report: Path | str) -> str:
        return f"http://127.0.0.1:8501{report}"

    def data_docs_url(self) -> str:
        return "http://127.0.0.1:8501/reports/data_docs/index.html"

    def raise_alert(self, alert_id: str, severity: str, summary: str, details: Mapping[str, Any]) -> None:
        self.alerts[alert_id] = (severity, summary)

    def clear_alert(self, alert_id: str) -> None:
        self.cleared.append(alert_id)
        self.alerts.pop(alert_id, None)

"""The report of a run: one HTML file without any outside part, that opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gamestream_dagster.reconciliation.cut import shown
from gamestream_dagster.reconciliation.model import ReconciliationRun, Verdict
from gamestream_dagster.reconciliation.store import PastRun, plain

_VERDICT_TEXT = {
    Verdict.MATCH: "Every row of every board is what the same events give.",
    Verdict.EXPLAINED: "Rows differ, each by a cause that the policy accepts.",
    Verdict.DIFFERENT: "Rows differ from what the same events give.",
    Verdict.COULD_NOT_RUN: "Nothing was compared. This says nothing about the boards.",
}


def write_report(path: Path, run: ReconciliationRun, trend: Sequence[PastRun]) -> None:
    """Write the report of `run`, and the same as `latest.html` beside it.

    Args:
        path: the file.
        run: what to report.
        trend: past runs, oldest first, this one included.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render_report(run, trend)
    for target in (path, path.with_name("latest.html")):
        temporary = target.with_name(target.name + ".new")
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(target)


def render_report(run: ReconciliationRun, trend: Sequence[PastRun]) -> str:
    """The page as text. Names of players and teams are hostile input: everything is escaped."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.filters.update(value=_value, time=_time)  # pyright: ignore[reportUnknownMemberType] - untyped in Jinja2
    return templates.get_template("report.html.j2").render(
        run=run,
        verdict_text=_VERDICT_TEXT[run.verdict],
        jobs=[(job, shown(job.low)) for job in run.jobs],
        high=shown(run.high),
        trend=trend,
        most=max((past.rows_compared for past in trend), default=0) or 1,
    )


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return orjson.dumps(plain(value), option=orjson.OPT_INDENT_2 if isinstance(value, dict) else 0).decode()


def _time(value: datetime | int) -> str:
    at = datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) else value
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"

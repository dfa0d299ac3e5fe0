"""The report of a run: one self-contained HTML file that opens from disk."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gamestream_dagster.reconciliation.model.cut import shown
from gamestream_dagster.reconciliation.model.proof import JobCut, ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.results import report_view as view
from gamestream_dagster.reconciliation.results.store import PastRun, plain

_VERDICT_TEXT = {
    Verdict.MATCH: "Every row of every board is what the same events give.",
    Verdict.EXPLAINED: "Rows differ, each by a cause that the policy accepts.",
    Verdict.DIFFERENT: "Something differs from what the same events give, and nothing excuses it.",
    Verdict.COULD_NOT_RUN: "Nothing was compared, so there is no verdict on the boards.",
}
_SOME_ALONE = "Not every topic could be looked at; there is no verdict on the boards of the others."
_LEDGER_ALONE = "Every row is what the same events give, but the ledger of the events does not add up."


def write_report(path: Path, run: ReconciliationRun, trend: Sequence[PastRun]) -> None:
    """Write the report of `run`, also as `latest.html` beside it.

    Args:
        path: the file.
        run: what to report.
        trend: past runs, oldest first, including this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    present = frozenset(file.name for file in path.parent.glob("*.html")) | {path.name}
    page = render_report(run, trend, folder=path.parent, present=present)
    for target in (path, path.with_name("latest.html")):
        temporary = target.with_name(target.name + ".new")
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(target)


def render_report(
    run: ReconciliationRun,
    trend: Sequence[PastRun],
    folder: Path | None = None,
    present: frozenset[str] = frozenset(),
) -> str:
    """The page as text. Names of players and teams are hostile input: everything is escaped, control characters shown.

    Args:
        run: what to report.
        trend: past runs, oldest first.
        folder: the page's folder; reports of past runs there are linked.
        present: names of the reports there.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    filters = {"value": _value, "time": _time, "scalar": _scalar, "flat": _flat, "commands": _commands}
    templates.filters.update(filters)  # pyright: ignore[reportUnknownMemberType] - untyped in Jinja2
    differing = list(dict.fromkeys(one.board for one in run.differences))
    style = Markup(templates.get_template("report.css.j2").render(boards=differing))  # noqa: S704 - our own file and identifiers
    return templates.get_template("report.html.j2").render(
        run=run,
        style=style,
        style_hash=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        verdict_text=_verdict_text(run),
        differing=differing,
        causes=view.causes(run.differences),
        found=view.rows(run.differences),
        open_up_to=view.OPEN_UP_TO,
        cuts=_cuts(run),
        trend=view.trend(trend, None if folder is None else str(folder), present),
        most=max((past.rows_different for past in trend), default=0),
        longest=max((past.seconds for past in trend), default=0.0),
        last=view.last_that_looked(run, trend),
    )


def _cuts(run: ReconciliationRun) -> list[tuple[TopicProof, list[tuple[JobCut, str]], str]]:
    """By topic the jobs with their low cuts, and the high cut; empty where no topic could be looked at."""
    cuts = [(one, [(job, shown(job.low)) for job in one.jobs], shown(one.high)) for one in run.topics]
    return cuts if run.jobs else []


def _verdict_text(run: ReconciliationRun) -> str:
    if run.verdict is Verdict.DIFFERENT and not run.differences:
        return _LEDGER_ALONE
    if run.verdict is Verdict.COULD_NOT_RUN and any(one.looked for one in run.topics):
        return _SOME_ALONE
    return _VERDICT_TEXT[run.verdict]


def _harmless(value: Any) -> Any:
    """Jinja2 passes every printed value through this before it escapes it."""
    return view.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _scalar(value: Any) -> bool:
    """Whether a value fits into a line."""
    return not isinstance(value, (dict, list, tuple))


def _flat(value: Any) -> bool:
    """Whether a value is a mapping of short values, such as a row."""
    return isinstance(value, dict) and all(_scalar(part) for part in cast("dict[Any, Any]", value).values())


def _commands(text: str) -> Markup:
    """A sentence of ours; commands in back-quotes become code."""
    parts = [escape(view.visible(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return Markup("`").join(parts)
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return orjson.dumps(plain(value), option=0 if _scalar(value) else orjson.OPT_INDENT_2).decode()


def _time(value: datetime | int) -> str:
    at = datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) else value
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"

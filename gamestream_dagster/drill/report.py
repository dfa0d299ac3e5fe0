"""The page of a drill: one self-contained HTML file in the style of the reconciliation report."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gamestream_dagster import reconciliation
from gamestream_dagster.drill import view
from gamestream_dagster.drill.model import DrillRun, DrillVerdict

_COLOURS = {
    DrillVerdict.HELD: "MATCH",
    DrillVerdict.NOT_HELD: "DIFFERENT",
    DrillVerdict.COULD_NOT_RUN: "COULD_NOT_RUN",
}
_SUMMARIES = {
    DrillVerdict.HELD: "After every fault each job came back from the right state, once, and every board is right.",
    DrillVerdict.NOT_HELD: "After at least one fault something did not hold.",
    DrillVerdict.COULD_NOT_RUN: "Not everything could be tried. This says nothing about what was not.",
}


def write_drill(folder: Path, run: DrillRun, html: Path | None = None) -> Path:
    """Write page and figures of a run into `folder`, also as `latest`; returns the path of the page.

    Args:
        folder: created when missing.
        run: what to report.
        html: another place for the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = render_drill(run)
    data = orjson.dumps(view.as_data(run), option=orjson.OPT_INDENT_2, default=str).decode()
    for name in (run.run_id, "latest"):
        _replace(folder / f"{name}.json", data)
        _replace(folder / f"{name}.html", page)
    if html is None:
        return folder / f"{run.run_id}.html"
    html.parent.mkdir(parents=True, exist_ok=True)
    _replace(html, page)
    return html


def render_drill(run: DrillRun) -> str:
    """The page as text; everything is escaped."""
    folders = [str(Path(__file__).parent), str(Path(reconciliation.__path__[0]) / "results")]
    templates = Environment(
        loader=FileSystemLoader(folders, followlinks=False),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(  # pyright: ignore[reportUnknownMemberType] - untyped in Jinja2
        {
            "time": _time,
            "seconds": view.seconds,
            "sentence": view.job_words,
            "words": _words,
            "colour": lambda verdict: _COLOURS[DrillVerdict(verdict)],
            "commands": _commands,
        }
    )
    style = Markup(templates.get_template("report.css.j2").render(boards=()))  # noqa: S704 - our own file
    return templates.from_string((Path(__file__).parent / "report.html.j2").read_text(encoding="utf-8")).render(
        run=run,
        style=style,
        style_hash=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        summary=_SUMMARIES[run.verdict],
        broken=[(result.name, why) for result in run.results for why in (result.could_not, *result.reasons) if why],
        columns=view.COLUMNS,
        rows=view.matrix(run),
        held=sum(result.verdict is DrillVerdict.HELD for result in run.results),
        slowest_seen=_most(result.seen_seconds for result in run.results),
        slowest_back=_most(result.back_seconds for result in run.results),
        lost=sum(result.boards.lost for result in run.results if result.boards),
        doubled=sum(result.boards.doubled for result in run.results if result.boards),
    )


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _words(verdict: str) -> str:
    return DrillVerdict(verdict).value.replace("_", " ")


def _commands(text: str) -> Markup:
    """A sentence of ours; commands in back-quotes become code."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return Markup("`").join(parts)
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"

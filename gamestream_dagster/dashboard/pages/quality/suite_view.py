"""From the results of Great Expectations to a tile and a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from gamestream_dagster.dashboard.pages.quality.suites import DocsRun, Suite
from gamestream_dagster.dashboard.parts import (
    Cell,
    Column,
    Link,
    Note,
    Panel,
    Part,
    Table,
    Tile,
    Tone,
    ago,
    count,
    doc,
    plural,
)

SUITE_TONES = {"HOLDS": Tone.GOOD, "FAILS": Tone.BAD, "NOT_RUN": Tone.WARN}
FileUrl = Callable[[Path], str]
"""Address of a page of Data Docs."""


def expectations_tile(runs: Sequence[DocsRun]) -> Tile:
    """How many expectations hold, over all runs."""
    suites = [suite for run in runs for suite in run.suites]
    if not suites:
        return Tile("Expectations", "–", "no results yet", doc("causes"))
    held, total = sum(one.held for one in suites), sum(one.expectations for one in suites)
    failing = any(one.state == "FAILS" for one in suites)
    waiting = sum(one.state == "NOT_RUN" for one in suites)
    about = f"hold, in {plural(len(suites), 'suite')}" + (f", {waiting} not run yet" if waiting else "")
    return Tile("Expectations", f"{held:,} of {total:,}", about, "#gs-suites", Tone.BAD if failing else Tone.GOOD)


def suites_panel(runs: Sequence[DocsRun], now: datetime, file_url: FileUrl) -> Panel:
    """Every suite that ran, those that fail first, with links to Data Docs."""
    about = "What must hold of ranks, order, ratios, ledgers and settled days, checked by Great Expectations."
    if not runs:
        note = Note(
            "No suite has run yet. Dagster runs them every four hours and with each settled day; "
            "to run them now, launch the job archive_and_reconcile in Dagster."
        )
        return Panel("suites", "Great Expectations", about, [note], is_wide=True)
    columns = (
        Column("suite"), Column("state"), Column("expectations", is_number=True), Column("rows", is_number=True),
        Column("result"),
    )  # fmt: skip
    ran = [(suite, run) for run in runs for suite in run.suites if suite.state != "NOT_RUN"]
    waiting = [suite for run in runs for suite in run.suites if suite.state == "NOT_RUN"]
    rows = [_suite(*one, file_url) for one in sorted(ran, key=lambda one: one[0].state != "FAILS")]
    parts: list[Part] = [Table(columns, rows)] if rows else []
    if waiting:
        names = ", ".join(one.title for one in waiting)
        text = f"Not run yet, for want of rows: {names}. Data Docs say what each waits for."
        parts.append(Note(text))
    if not parts:
        parts.append(Note("These Data Docs hold no results for this page yet; the next run of the suites adds them."))
    links = [Link(f"Data Docs, {ago(now - run.built_at)}", file_url(run.index)) for run in runs]
    return Panel("suites", "Great Expectations", about, parts, links=links, is_wide=True)


def _suite(suite: Suite, run: DocsRun, file_url: FileUrl) -> tuple[Cell, ...]:
    page = file_url(run.index.parent / suite.page) if suite.page else file_url(run.index)
    return (
        Cell(suite.title, soft=suite.suite, href=page),
        Cell(suite.state.replace("_", " "), tone=SUITE_TONES.get(suite.state, Tone.WARN)),
        Cell(f"{suite.held} of {suite.expectations}"),
        Cell(count(suite.evaluated)),
        Cell(suite.sentence),
    )

"""The newest rows of `game_alerts_v1`: what is read, and the panel. Independent of Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.dashboard.parts import Cell, Column, Link, Note, Panel, Table, Tone, ago, count, doc

ABUSE_JOB: Final = "game_alerts_v1"
"""Writes the tables; deployed on request."""
_ROWS: Final = 8
_EVENTS: Final = ("event_1", "event_2", "event_3", "event_4")
_ABOUT: Final = "The newest rows about players and devices that do what no honest game gives; evidence is a sample."


@dataclass(frozen=True)
class AbuseTable:
    """One output of the job."""

    name: str
    subject: str
    begins: str
    number: str
    words: str


TABLES: Final = (
    AbuseTable("abuse_velocity", "user_id", "purchase_window", "purchases", "purchases in ten minutes"),
    AbuseTable("abuse_prices", "user_id", "purchase_hour", "purchases", "purchases at a wrong price"),
    AbuseTable("abuse_refunds", "user_id", "refund_day", "refunds", "refunds in a day"),
    AbuseTable("abuse_scores", "user_id", "score_minute", "score_points", "points in a minute"),
    AbuseTable("abuse_devices", "device_id", "device_day", "accounts", "accounts on one device"),
)


@dataclass(frozen=True)
class AbuseRows:
    """One read."""

    rows: Sequence[Mapping[str, Any]] = ()
    """`words`, `subject`, `number`, `begins`, `as_of`, `events`; the newest first."""
    missing: bool = False
    unlike: bool = False
    """A table has other columns than this version expects."""


def read_abuse(link: Connection, present: frozenset[str]) -> AbuseRows:
    """The newest rows, in the transaction of `link`."""
    if not all(one.name in present for one in TABLES):
        return AbuseRows(missing=True)
    newest = sa.union_all(*(_newest(one) for one in TABLES)).subquery()
    query = sa.select(newest).order_by(newest.c.as_of.desc(), newest.c.subject).limit(_ROWS)
    try:
        with link.begin_nested():
            return AbuseRows([dict(row) for row in link.execute(query).mappings()])
    except ProgrammingError:
        return AbuseRows(unlike=True)


def _newest(one: AbuseTable) -> sa.Select[Any]:
    columns = {name: sa.column(name) for name in (one.subject, one.begins, one.number, "as_of", *_EVENTS)}
    events = sa.func.concat_ws(", ", *(sa.func.nullif(columns[name], "") for name in _EVENTS))
    found = (
        sa.select(
            sa.literal(one.words).label("words"),
            columns[one.subject].label("subject"),
            columns[one.begins].label("begins"),
            columns[one.number].label("number"),
            columns["as_of"].label("as_of"),
            events.label("events"),
        )
        .select_from(sa.table(one.name, *columns.values()))
        .order_by(columns["as_of"].desc())
        .limit(_ROWS)
    ).subquery()
    return sa.select(found)


def abuse_panel(found: AbuseRows, now: datetime, job_state: str | None) -> Panel:
    """The panel *Abuse*."""
    links = (Link("what fires", doc("abuse")),)
    if found.missing or (not found.rows and job_state is None):
        note = Note(
            f"The job {ABUSE_JOB}, which looks for abuse, is not deployed.", f"gamestream jobs apply {ABUSE_JOB}"
        )
        return Panel("abuse", "Abuse", _ABOUT, [note], links=links)
    if found.unlike:
        note = Note("A table of abuse has other columns than this version expects.", "gamestream plan", Tone.WARN)
        return Panel("abuse", "Abuse", _ABOUT, [note], links=links)
    if not found.rows and job_state != "RUNNING":
        note = Note(f"The job {ABUSE_JOB} is {str(job_state).lower()}.", f"gamestream jobs show {ABUSE_JOB}", Tone.WARN)
        return Panel("abuse", "Abuse", _ABOUT, [note], links=links)
    if not found.rows:
        note = Note("No abuse in the last three days.", "gamestream simulate --abuse")
        return Panel("abuse", "Abuse", _ABOUT, [note], links=links)
    columns = [Column("what"), Column("who"), Column("how many", is_number=True), Column("newest event")]
    cells = [
        [
            Cell(str(row["words"]), hint=f"from {row['begins']:%d %b %H:%M} UTC on"),
            Cell(str(row["subject"]), hint=f"events {row['events']}"),
            Cell(count(row["number"])),
            Cell(ago(now - row["as_of"])),
        ]
        for row in found.rows
    ]
    return Panel("abuse", "Abuse", _ABOUT, [Table(columns, cells)], links=links)

"""From what was found to tiles and panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gamestream_dagster.dashboard.pages.security.found import ROWS, Found, Row
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
    clock,
    count,
    doc,
    per_cent,
)

DOCS: Final = "security-logs"
_TONES: Final = {"critical": Tone.BAD, "high": Tone.BAD, "medium": Tone.WARN, "low": Tone.PLAIN}
_MORE: Final = f"The first {ROWS} rows are shown; the tables in Postgres have all."


def tiles(found: Found) -> list[Tile]:
    """Lines, and how many of them could be read."""
    if found.lines is None:
        return []
    lines, unread = int(found.lines["lines"]), int(found.lines["unread"])
    grave = sum(row["level"] in ("critical", "high") for row in found.attacks)
    return [
        Tile("Log lines", count(lines), "in 24 hours", doc(DOCS, "shapes-of-a-record")),
        Tile(
            "Read",
            per_cent(1 - unread / lines if lines else None),
            f"{unread:,} could not be read",
            doc("runbooks/unread_log_lines"),
            Tone.BAD if unread * 10 > lines else Tone.GOOD,
        ),
        Tile(
            "Grave attacks",
            count(grave) + ("+" if len(found.attacks) == ROWS else ""),
            "brute force and logins after failures",
            doc("runbooks/ssh_attack"),
            Tone.BAD if grave else Tone.GOOD,
        ),
    ]


def panels(found: Found) -> list[Panel]:
    """Attacks, machines and sources; how to start where the job was never deployed."""
    link = Link("what is found", doc(DOCS))
    if found.lines is None:
        note = Note("No log line was looked at yet. Deploy the job:", "gamestream jobs apply security_v1")
        return [Panel("none", "Attacks", "Found in log lines.", [note], links=(link,), is_wide=True)]
    attacks = _table(
        found.attacks,
        (Column("Rule"), Column("Machine"), Column("Source"), Column("Tries", is_number=True), Column("Newest")),
        _attack,
        "No attack was found in 24 hours.",
    )
    hosts = _table(
        found.hosts,
        (Column("Machine"), Column("Rule"), Column("Tries", is_number=True), Column("Countries")),
        lambda row: [
            Cell(row["host"]),
            Cell(row["rule"]),
            Cell(count(row["repeat_count"])),
            Cell(row["countries"] or "unknown"),
        ],
        "No machine was attacked in 24 hours.",
    )
    sources = _table(
        found.sources,
        (Column("Source"), Column("Failed", is_number=True), Column("Logins", is_number=True), Column("Newest")),
        lambda row: [
            Cell(row["source"], row["country"]),
            Cell(count(row["failed"])),
            Cell(count(row["succeeded"])),
            Cell(clock(row["as_of"])),
        ],
        "Nobody tried to log in within 24 hours.",
    )
    return [
        Panel("attacks", "Attacks", "The newest first.", [attacks], links=(link,), is_wide=True),
        Panel("hosts", "Machines", "The most attacked first.", [hosts]),
        Panel("sources", "Sources", "Tries to log in, each counted once.", [sources]),
    ]


def _attack(row: Row) -> list[Cell]:
    return [
        Cell(row["rule"], tone=_TONES.get(row["level"], Tone.PLAIN), hint=row["level"]),
        Cell(row["host"]),
        Cell(row["source"], row["country"]),
        Cell(count(row["attempts"])),
        Cell(clock(row["as_of"])),
    ]


def _table(rows: Sequence[Row], columns: Sequence[Column], cells: Callable[[Row], list[Cell]], nothing: str) -> Part:
    if not rows:
        return Note(nothing)
    return Table(columns, [cells(row) for row in rows], more=_MORE if len(rows) == ROWS else "")

"""From what is known of a player or an event to panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from gamestream_dagster.catalogue.metrics import Metric, MetricType
from gamestream_dagster.dashboard.metric_values import label, number
from gamestream_dagster.dashboard.pages.player.answers import LINES, Explained, SumLine
from gamestream_dagster.dashboard.pages.player.history import DAYS, PLAYER, History
from gamestream_dagster.dashboard.parts import (
    Badge,
    Cell,
    Column,
    Link,
    Note,
    Panel,
    Part,
    Table,
    Tone,
    clock,
    count,
    doc,
    plural,
)
from gamestream_dagster.dashboard.reading import Problem
from gamestream_dagster.fates.model import Outcome, Trace, TracedRecord

_OUTCOME_TONES: Final = {
    Outcome.ENRICHED: Tone.GOOD,
    Outcome.LATE: Tone.WARN,
    Outcome.DEAD: Tone.BAD,
    Outcome.COPY: Tone.PLAIN,
    Outcome.PENDING: Tone.LIVE,
    Outcome.NOT_FOUND: Tone.BAD,
}
_NUMBERS: Final = (MetricType.BIGINT, MetricType.DOUBLE, MetricType.DECIMAL)
_TEXTS: Final = (MetricType.STRING, MetricType.DATE, MetricType.TIMESTAMP, MetricType.BOOLEAN)


def start() -> Panel:
    """What to type, before anything was."""
    text = (
        "Give a player's id, or how it begins, for boards, settled days and the events behind a score; "
        "or an event's id for what became of it. Ids stay in this session."
    )
    links = (Link("what counts", doc("events")), Link("fates", doc("fates")))
    return Panel(
        "start", "Nobody is asked for yet", "Type an id, or choose a player from the boards.", [Note(text)], links=links
    )


def panels(history: History, metrics: Sequence[Metric]) -> list[Panel]:
    """One player."""
    if not history.is_known:
        text = (
            "Nothing here is about exactly this player: not on a board now, and in no settled day. "
            "If ids of other players begin so, choose one above."
        )
        return [Panel("unknown", "No such player", "Boards and settled days were asked.", [Note(text)], is_wide=True)]
    days = [_days(history, one) for one in metrics if history.days.get(one.name)]
    return [_boards(history), *sorted(days, key=lambda one: one.is_wide)]


def _boards(history: History) -> Panel:
    about = "Where the player stands at this moment. Below, the events behind a score."
    if not history.boards:
        return Panel("boards", "Boards", about, [Note("The player is on no board now.")])
    columns = (Column("board"), Column("rank", is_number=True), Column("row"))
    rows = [
        (Cell(one.title), Cell(f"{one.rank} of {one.rows}"), Cell(_row_text(one.row, hide=(PLAYER, "rnk"))))
        for one in history.boards
    ]
    return Panel("boards", "Boards", about, [Table(columns, rows)], links=(Link("leaderboards", "./"),))


def _days(history: History, metric: Metric) -> Panel:
    shown = [name for name, one in metric.columns.items() if one.type in _NUMBERS and name not in metric.key]
    texts = [name for name, one in metric.columns.items() if one.type in _TEXTS and name not in metric.key]
    others = [name for name in metric.key if name not in (PLAYER, metric.partition)]
    columns = [
        Column("day"),
        *(Column(label(metric, name)) for name in others),
        *(Column(label(metric, name), is_number=True, hint=metric.columns[name].meaning) for name in shown),
        *(Column(label(metric, name), hint=metric.columns[name].meaning) for name in texts),
    ]
    rows = [
        [
            Cell(f"{row[metric.partition]:%d %b %Y}"),
            *(Cell(str(row[name])) for name in others),
            *(Cell(number(metric.columns[name], row[name])) for name in shown),
            *(Cell(_text(row[name])) for name in texts),
        ]
        for row in history.days[metric.name]
    ]
    about = f"The newest settled days of the player, at most {DAYS}."
    if others:
        about = f"The newest settled day of the player, by {', '.join(label(metric, name) for name in others)}."
    links = (Link("definition", doc(f"metrics/{metric.name}")),)
    return Panel(metric.name, metric.title, about, [Table(columns, rows)], links=links, is_wide=len(columns) > 6)


def explained(found: Explained | Problem) -> Panel:
    """The answer to why a score is what it is."""
    if isinstance(found, Problem):
        return _problem("why", "Why this score", found)
    ok = found.adds_up
    parts: list[Part] = [
        Table(
            (Column("source"), Column("row")),
            [
                (Cell("board shows"), Cell(_row_text(found.shown, hide=(PLAYER,)))),
                (Cell("recompute"), Cell(_row_text(found.recomputed, hide=(PLAYER,)))),
            ],
        )
    ]
    parts += [part for one in found.sums for part in _sum(one)]
    if found.reasons:
        told = ", ".join(f"{records:,} {reason}" for reason, records in found.reasons.items())
        parts.append(Note(f"Records of the player that do not count: {told}."))
    badge = Badge("adds up", Tone.GOOD) if ok else Badge("does not add up", Tone.BAD, "This should not be: report it")
    links = (Link("causes", doc("causes")),)
    return Panel("why", f"Why this score: {found.board}", found.sentence, parts, (badge,), links, is_wide=True)


def _sum(one: SumLine) -> list[Part]:
    columns = (
        Column("event"), Column("taken"), Column("happened"), Column("score", is_number=True),
        Column("total", is_number=True),
    )  # fmt: skip
    rows = [_event(row) for row in (*one.first, *one.last)]
    left = one.events - len(rows)
    more = f"{left:,} more between the first and the last {LINES}" if left > 0 else ""
    title = f"{one.column.replace('_', ' ')} is {one.total:,}, from {plural(one.events, 'event')}."
    return [Note(title), Table(columns, rows, more)] if rows else [Note(title)]


def _event(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        Cell(str(row.get("event_id") or "no id"), soft=f"p{row['partition']}@{row['offset']}"),
        Cell(_millis(row.get("kafka_timestamp"))),
        Cell(_millis(row.get("event_time_millis"))),
        Cell(f"{row['score']:+,}"),
        Cell(count(row["total"])),
    )


def traced(found: Trace | Problem) -> Panel:
    """The answer to what became of an event."""
    if isinstance(found, Problem):
        return _problem("trace", "What became of the event", found)
    links = (Link("fates", doc("fates", "one-event")),)
    about = " ".join(one if one.endswith(".") else f"{one}." for one in found.looked)
    if not found.found:
        return Panel(
            "trace", "No record has this id", about, [Note("Ids are exact, with capitals.")], links=links, is_wide=True
        )
    columns = (Column("record"), Column("type"), Column("fate"), Column("written to"), Column("counted by"))
    parts: list[Part] = [Table(columns, [_record(one) for one in found.records])] if found.records else []
    if found.other_scores:
        places = ", ".join(str(one) for one in found.other_scores)
        parts.append(Note(f"Written to the boards' topic by its sender, not by intake: {places}."))
    if found.more:
        parts.append(Note("There are more records under this id than are told here."))
    return Panel("trace", "What became of the event", about, parts, links=links, is_wide=True)


def _record(one: TracedRecord) -> tuple[Cell, ...]:
    reason = " ".join(part for part in (one.reason or "", f"({one.field})" if one.field else "") if part)
    received = f"over HTTP by {one.received.app or one.received.key_id}" if one.received else one.received_note
    return (
        Cell(str(one.raw), soft=f"{_millis(one.raw.time)}, {received}".rstrip(", ")),
        Cell(one.event_type or "unknown"),
        Cell(one.outcome.value, soft=reason, tone=_OUTCOME_TONES[one.outcome], hint=f"Known by {one.evidence.value}"),
        Cell(str(one.written) if one.written else f"copy of {one.copy_of}" if one.copy_of else "–"),
        Cell(", ".join(one.boards) or "–", soft=", ".join(str(place) for place in one.scores)),
    )


def _problem(name: str, title: str, problem: Problem) -> Panel:
    note = Note(f"{problem.title}. {problem.sentence}", problem.command, Tone.WARN)
    return Panel(name, title, "There is no answer now.", [note], is_wide=True)


def _row_text(row: Mapping[str, Any] | None, hide: Sequence[str]) -> str:
    if row is None:
        return "no row"
    named = {"rank" if name == "rnk" else name.replace("_", " "): row[name] for name in row if name not in hide}
    return ", ".join(f"{name} {_text(value)}" for name, value in named.items())


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{clock(value)} UTC"
    return f"{value:%d %b %Y}" if isinstance(value, date) else str(value)


def _millis(value: Any) -> str:
    try:
        return f"{datetime.fromtimestamp(int(value) / 1000, UTC):%d %b %H:%M:%S} UTC"
    except (TypeError, ValueError, OverflowError, OSError):
        return "–"

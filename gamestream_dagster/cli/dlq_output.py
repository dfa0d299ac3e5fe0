"""How `gamestream dlq` prints letters, plans and replays."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from gamestream_dagster.dead_letters.book import Entry
    from gamestream_dagster.dead_letters.letter import DeadLetter, Judged
    from gamestream_dagster.dead_letters.planning import Draft
    from gamestream_dagster.dead_letters.replaying import ReplayPlan

MOST_WHOLE = 20
"""Letters of one event id that `show` prints."""
_SHOWN_CHARACTERS = 4_000
_SHOWN_ROWS = 20
_SHOWN_ID = 200


def row(letter: DeadLetter) -> dict[str, Any]:
    """What a list shows of a letter: no content."""
    return {
        "position": str(letter.place),
        "reason": letter.reason,
        "event_type": _short(letter.event_type),
        "field": _short(letter.field),
        "event_id": _short(letter.event_id),
        "source_topic": letter.source_topic,
        "source": str(letter.source),
        "source_time": _time(letter.source_time),
    }


def whole(letter: DeadLetter, judged: Judged, attempts: int, entry: Entry | None) -> dict[str, Any]:
    """Everything about a letter."""
    text = _decoded(letter.payload)
    return {
        **row(letter),
        "user_id": letter.user_id,
        "sentence": judged.sentence,
        "judged_again": {"reason": judged.reason, "field": judged.field, "agrees": judged.agrees},
        "attempts": attempts,
        "replayed_as": None if entry is None else {"position": str(entry.target), "attempt": entry.attempt},
        "content": text,
        "content_base64": None if text is not None else base64.b64encode(letter.payload or b"").decode(),
    } | ({"tombstone": True, "content_base64": None} if letter.payload is None else {})


def plan_data(plan: ReplayPlan, entries: list[Entry] | None, *, dry_run: bool) -> dict[str, Any]:
    """A plan, or what was replayed, as JSON."""
    from gamestream_dagster.dead_letters.planning import preview

    moved = preview(plan.sent)
    targets = {entry.letter: str(entry.target) for entry in entries or []}
    return {
        "dry_run": dry_run,
        "counts": {fate.value: count for fate, count in plan.counts.items()},
        "more": plan.more,
        "letters": [_draft(one, targets) for one in (*plan.sent, *plan.others)],
        "boards": {"scores": moved.events, "players": dict(moved.players), "teams": dict(moved.teams)},
    }


def print_letters(rows: Iterable[Mapping[str, Any]]) -> None:
    """A table of letters."""
    names = ("POSITION", "KAFKA TIME", "REASON", "TYPE", "FIELD", "EVENT ID", "SOURCE")
    keys = ("position", "source_time", "reason", "event_type", "field", "event_id", "source")
    _table(names, [[one[key] for key in keys] for one in rows])


def print_whole(shown: Mapping[str, Any]) -> None:
    """One letter for people."""
    again = shown["judged_again"]
    typer.echo(f"{shown['position']}  {shown['reason']}: {_line(shown['sentence'])}")
    if not again["agrees"]:
        typer.echo(f"  The catalogue of today judges otherwise: {again['reason']}.")
    typer.echo(f"  from {shown['source_topic']} {shown['source']}, taken by Kafka at {shown['source_time']}")
    about = {"event": shown["event_id"], "player": shown["user_id"], "type": shown["event_type"]}
    typer.echo("  " + ", ".join(f"{name} {_line(value)}" for name, value in about.items() if value is not None))
    replayed = shown["replayed_as"]
    if replayed is not None:
        typer.echo(f"  replayed as {replayed['position']} (attempt {replayed['attempt']})")
    if shown["attempts"]:
        typer.echo(f"  it is itself a replay, attempt {shown['attempts']}")
    text = shown["content"]
    if text is None:
        typer.echo(f"  base64: {shown['content_base64']}" if shown["content_base64"] is not None else "  no content")
        return
    cut = f" … ({len(text):,} characters; --json shows all)" if len(text) > _SHOWN_CHARACTERS else ""
    typer.echo(f"  {_line(text[:_SHOWN_CHARACTERS])}{cut}")


def print_plan(plan: ReplayPlan, entries: list[Entry] | None) -> None:
    """Each letter with its fate, then what the boards gain."""
    from gamestream_dagster.dead_letters.planning import preview

    targets = {entry.letter: str(entry.target) for entry in entries or []}
    rows = [
        (one.letter.place, one.letter.reason, one.fate.value, _moved(one), targets.get(one.letter.key, ""), one.said)
        for one in (*plan.sent, *plan.others)
    ]
    _table(("POSITION", "WAS", "FATE", "BOARDS", "SENT AS", "WHY"), rows)
    moved = preview(plan.sent)
    for title, points in (("PLAYER", moved.players), ("TEAM", moved.teams)):
        if points:
            shown = list(points.items())[:_SHOWN_ROWS]
            _table((title, "POINTS"), [(name, f"+{value:,}") for name, value in shown])
            if len(points) > _SHOWN_ROWS:
                typer.echo(f"and {len(points) - _SHOWN_ROWS:,} more; --json shows all")


def summary(plan: ReplayPlan, entries: list[Entry] | None, *, dry_run: bool) -> str:
    """The last words."""
    parts = " ".join(f"{fate.value.upper()}={count}" for fate, count in plan.counts.most_common())
    if not plan.counts:
        return "No dead letter matches; see `gamestream dlq list`."
    if dry_run:
        then = "Nothing was sent: a dry run. Add --yes to replay." if plan.sent else "There is nothing to replay."
    else:
        then = f"Replayed {len(entries or []):,} events."
    more = " The limit was reached: run it again for the rest." if plan.more and not dry_run else ""
    more = more or (" The limit was reached: more would follow." if plan.more else "")
    return f"{parts}\n{then}{more}"


def _draft(one: Draft, targets: Mapping[str, str]) -> dict[str, Any]:
    move = one.move
    return {
        **row(one.letter),
        "fate": one.fate.value,
        "said": one.said,
        "attempt": one.attempt or None,
        "changed": one.changed,
        "content": _decoded(one.value),
        "sent_as": targets.get(one.letter.key),
        "moves": None if move is None else {"player": move.user_id, "team": move.team_id, "points": move.points},
    }


def _moved(one: Draft) -> str:
    move = one.move
    return "" if move is None else f"+{move.points:,} {move.user_id}, {move.team_id}"


def _table(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from gamestream_dagster.cli.tables import print_table

    found = list(rows)
    if not found:
        return
    table = Table(*names, box=None, pad_edge=False)
    for cells in found:
        table.add_row(*(Text("" if cell is None else _line(str(cell))) for cell in cells))
    print_table(table)


def _line(text: str) -> str:
    """On one line, control characters as escapes: letters are untrusted input."""
    from gamestream_dagster.reconciliation.results.report_view import visible

    return visible(text).replace("\n", "[U+000A]").replace("\t", "[U+0009]")


def _short(text: str | None) -> str | None:
    """At most as long as a usable id; a refused one may have a megabyte."""
    return text if text is None or len(text) <= _SHOWN_ID else f"{text[:_SHOWN_ID]}…"


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _time(millis: int) -> str:
    try:
        return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{millis} ms"

"""`gamestream trace`: what became of one event."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.options import AsJson, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.fates.model import Place, Trace, TracedRecord

data = PlainConsole(width=None if sys.stdout.isatty() else 200, soft_wrap=True)
talk = Talk(stderr=True)
_LAST_MILLIS = 253_402_300_799_999  # of the year 9999


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=panels.EVENTS)(trace)


def trace(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The `event_id` that the sender gave.")],
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Say what became of an event: received, raw record, fate, score, archive file, boards.

    Finds events of ten seconds ago and of last month. Exit codes: 0 found; 1 no record has the id; 2 could not look.
    """
    from gamestream_dagster.fates.trace import trace_event

    settings = settings_from(home, port_base)
    with as_could_not_run(), talk.status("looking"):
        found = trace_event(settings, event_id)
    if as_json:
        typer.echo(json.dumps(found.data(), indent=2))
    else:
        _show(found)
    raise typer.Exit(0 if found.found else 1)


def _show(found: Trace) -> None:
    for record in found.records:
        _show_record(record, several_players=len({one.player for one in found.records}) > 1)
    for place in found.other_scores:
        data.print(Text(f"score    {_at(place)}   written by its sender, not by intake"))
    if found.other_scores:
        data.print(f"boards   {', '.join(found.other_boards) or 'none'}")
    if not found.found:
        data.print("No record has this id.")
    if found.more:
        data.print("more     there are more records under this id than are told here")
    for sentence in found.looked:
        talk.print(Text(runnable(f"looked   {sentence}"), style="dim"))
    if any(one.outcome.value == "not found" for one in found.records):
        talk.print("Next: gamestream reconcile --intake")
    elif any(one.outcome.value == "dead letter" for one in found.records):
        talk.print(Text(f"Next: gamestream dlq show {_letter(found)}"))


def _letter(found: Trace) -> str:
    """The dead letter to be shown; by its position, for an id can hold anything."""
    place = next((one.written for one in found.records if one.written and one.outcome.value == "dead letter"), None)
    return "LETTER" if place is None else f"p{place.partition}@{place.offset}"


def _show_record(one: TracedRecord, *, several_players: bool) -> None:
    player = f"   player {one.player}" if several_players else ""
    data.print(Text(f"record   {_at(one.raw)}   {one.event_type or 'type unknown'}{player}"))
    if one.received is not None:
        at = "" if one.received.time is None else f" at {_time(one.received.time)}"
        data.print(Text(f"         received over HTTP{at} by key {one.received.key_id} of {one.received.app or '?'}"))
    else:
        data.print(Text(f"         {one.received_note}"))
    data.print(Text(f"         {_fate(one)}"))
    for place in one.scores:
        data.print(Text(f"         score {_at(place)}"))
    if one.scores:
        data.print(Text(f"         counted by {', '.join(one.boards) or 'no board'}"))
    data.print(Text(f"         archive {one.archive_file or 'not yet'}"))


def _fate(one: TracedRecord) -> str:
    from gamestream_dagster.fates.model import Evidence, Outcome
    from gamestream_dagster.fates.written import MOST_READ

    words = {
        Outcome.PENDING: "pending: intake has not read it yet",
        Outcome.NOT_FOUND: f"not found: intake has read past it, and of up to {MOST_READ:,} records that each output "
        "holds after it none is about it",
    }
    told = words.get(one.outcome, one.outcome.value)
    if one.reason and one.outcome is Outcome.DEAD:
        told += f" {one.reason}" + (f" ({one.field})" if one.field else "")
    if one.copy_of is not None:
        told += f", the id came first at {one.copy_of}"
    if one.written is not None:
        told += f" -> {_at(one.written)}"
    elif one.evidence is Evidence.JUDGEMENT and one.outcome is not Outcome.COPY:
        told += ", by the rule: the topic no longer keeps records of that time"
    return told


def _at(place: Place) -> str:
    return f"{place}   {_time(place.time)}"


def _time(millis: int) -> str:
    if not 0 <= millis <= _LAST_MILLIS:
        return f"{millis} ms"
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

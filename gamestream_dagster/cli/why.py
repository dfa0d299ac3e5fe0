"""`gamestream why`: the events behind a row of a board."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.reconcile import SinkName

if TYPE_CHECKING:
    from gamestream_dagster.catalogue.boards import Column
    from gamestream_dagster.reconciliation.model.values import Row
    from gamestream_dagster.reconciliation.why.answer import Sum, Why

data = PlainConsole(width=200, soft_wrap=True)
talk = Talk(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=panels.PROOF)(why)


def why(
    entity: Annotated[str, typer.Argument(help="Who: player:ID, team:ID, or the id alone.")],
    *,
    board: Annotated[str, typer.Option(help="Which board.")],
    sink: Annotated[SinkName, typer.Option(help="Where the row is read.")] = SinkName.POSTGRES,
    limit: Annotated[int, typer.Option(min=1, help="Lines to show at each end of a long list.")] = 5,
    everything: Annotated[bool, typer.Option("--all", help="Show every line.")] = False,
    as_json: AsJson = False,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Why a player or team has the score shown: its events, those that do not count, and how far the next rank is."""
    from gamestream_dagster.reconciliation.model.values import Sink
    from gamestream_dagster.reconciliation.why.as_json import json_parts
    from gamestream_dagster.reconciliation.why.explain_row import explain_row
    from gamestream_dagster.reconciliation.why.question import UnknownEntityError

    settings = settings_from(home, port_base)

    def use(found: Why) -> None:
        if as_json:
            for part in json_parts(found, None if everything else limit):
                typer.echo(part, nl=False)
            typer.echo()
        else:
            _print(found, None if everything else limit)

    with as_could_not_run(), talk.status("looking") as status:
        try:
            explain_row(settings, board, entity, use, sink=Sink(sink.value), say=status.update)
        except UnknownEntityError as error:
            talk.print(Text(_safe(str(error)), style="red"))
            raise typer.Exit(1) from error


def _safe(text: object) -> str:
    """Names come from events: what would move the cursor, turn the text or begin a line is shown by its code."""
    from gamestream_dagster.reconciliation.results.report_view import visible

    return visible(str(text)).replace("\n", "[U+000A]").replace("\t", "[U+0009]")


def _print(found: Why, limit: int | None) -> None:
    """Lines as they come: the verdict is last, when all of them were seen."""
    data.print(Text(_safe(f"{' / '.join(found.entity)} on {found.board.name}"), style="bold"))
    data.print(Text(f"shown      {_told(found, found.shown)}   ({found.sink.value})"))
    data.print(Text(f"recompute  {_told(found, found.recomputed)}"))
    for one in found.sums:
        key = ", ".join(f"{name} {value}" for name, value in one.key.items())
        data.print(Text(_safe(f"{one.column} = {one.total:,} from {one.events:,} events of {key} in {found.topic}")))
        for line in _sum_lines(found, one, limit):
            data.print(Text(_safe(line)))
    _print_excluded(found, limit)
    for side, row in (("above", found.above), ("below", found.below), ("last", found.last)):
        if row is not None:
            data.print(Text(_safe(_neighbour(found, side, row))))
    if not found.adds_up:
        raise CouldNotRun("The events do not add up to the recomputed row; this should not be, please report it.")
    talk.print(Text(_safe(found.sentence)))


def _told(found: Why, row: Row | None) -> str:
    if row is None:
        return "no row"
    rank = found.board.rank_column if found.board.ranked else None
    columns = [
        f"{name} {_value(column, row[name])}"
        for name, column in found.board.columns.items()
        if name not in (*found.board.entity, rank)
    ]
    place = f"#{row[rank]}  " if rank else ""
    return _safe(f"{place}{'  '.join(columns)}")


def _value(column: Column, value: Any) -> str:
    if column.type.value == "timestamp" and isinstance(value, int):
        return _time(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _sum_lines(found: Why, one: Sum, limit: int | None) -> Iterator[str]:
    """All the lines, or the first and the last and what those between add up to."""
    from gamestream_dagster.reconciliation.why.as_json import left_out

    if limit is None:
        yield from map(_line, found.lines(one))
    else:
        first, last = found.ends(one, limit)
        yield from map(_line, first)
        if last:
            rest = left_out(one.events, first, last)
            yield f"  ... {rest['events']:,} more, together {rest['total']:+,} (--all shows them)"
        yield from map(_line, last)
    if one.late_events:
        yield f"  {one.late_events:,} of them, together {one.late_total:+,}, may have been late for the window"


def _line(row: Row) -> str:
    late = f"  {row['late_by'] / 1000:.1f} s behind" if row["late_by"] is not None else ""
    flight = "  in flight" if row["in_flight"] else ""
    return f"  {_place(row)}  {row['score']:+,} = {row['total']:,}  {row['event_id'] or 'no id'}{late}{flight}"


def _place(row: Row) -> str:
    """Where a record lies, when Kafka took it, and when the event was."""
    at = f"p{row['partition']}@{row['offset']}"
    return f"{at}  taken {_time(row['kafka_timestamp'])}  event {_time(row['event_time_millis'])}"


def _time(millis: int | None) -> str:
    """A time in UTC; one that no calendar holds as its number (a refused event may carry any)."""
    if millis is None:
        return "no time"
    try:
        return f"{datetime.fromtimestamp(millis / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    except (OverflowError, ValueError, OSError):
        return f"{millis} ms"


def _print_excluded(found: Why, limit: int | None) -> None:
    if not found.excluded.count:
        return
    reasons = ", ".join(f"{records:,} {reason}" for reason, records in found.reasons.items())
    data.print(Text(_safe(f"not counted: {found.excluded.count:,} records: {reasons}")))
    first, last = (found.excluded, []) if limit is None else found.excluded.ends(limit)
    for row in first:
        data.print(Text(_safe(_excluded_line(row))))
    if last and limit is not None:
        data.print(Text(f"  ... {found.excluded.count - 2 * limit:,} more (--all shows them)"))
    for row in last:
        data.print(Text(_safe(_excluded_line(row))))


def _excluded_line(row: Row) -> str:
    reason = row["reason"]
    if reason in ("COPY", "DUP_CONFLICT"):
        other = " with other content" if reason == "DUP_CONFLICT" else ""
        reason = f"copy{other} of p{row['first_partition']}@{row['first_offset']}"
        if row["since_previous"] is not None:
            reason += f", {row['since_previous'] / 1000:.1f} s later"
    score = "no score" if row["score"] is None else f"{row['score']:+,}"
    return f"  {_place(row)}  {score}  {reason}  {row['event_id'] or 'no id'}"


def _neighbour(found: Why, side: str, row: Row) -> str:
    column, gap = found.board.order[0].column, found.gap(row)
    name = " / ".join(str(row[part]) for part in found.board.entity)
    told = ""
    if gap is not None:
        size = f"{int(abs(gap)):,}" if gap.denominator == 1 else f"{float(abs(gap)):.6g}"
        told = f"  ({size} {'ahead' if gap > 0 else 'behind'})" if gap else "  (equal)"
    return f"{side:9}  #{row[found.board.rank_column]}  {name}  {column} {row[column]}{told}"

"""`gamestream why`: the events behind a row of a board."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, settings_from
from gamestream_dagster.cli.reconcile import SinkName, sentences

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.model import Row
    from gamestream_dagster.reconciliation.why import Sum, Why

data = Console(highlight=False, width=200, soft_wrap=True)
talk = Console(stderr=True, highlight=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(why)


def why(
    entity: Annotated[str, typer.Argument(help="Who: player:ID, team:ID, or the id alone.")],
    *,
    board: Annotated[str, typer.Option(help="Which board.")],
    sink: Annotated[SinkName, typer.Option(help="Where the row is read.")] = SinkName.POSTGRES,
    limit: Annotated[int, typer.Option(min=1, help="Events to show at each end of a long list.")] = 5,
    everything: Annotated[bool, typer.Option("--all", help="Show every event.")] = False,
    as_json: AsJson = False,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Why a player or team has the score shown: its events, those that do not count, and how far the next rank is."""
    from gamestream_dagster.reconciliation.model import Sink
    from gamestream_dagster.reconciliation.why import UnknownEntityError, explain_row

    settings = settings_from(home, port_base)

    def use(found: Why) -> None:
        if as_json:
            _print_json(found, None if everything else limit)
        else:
            _print(found, None if everything else limit)

    with sentences(), talk.status("looking") as status:
        try:
            explain_row(settings, board, entity, use, sink=Sink(sink.value), say=status.update)
        except UnknownEntityError as error:
            talk.print(Text(_safe(str(error)), style="red"))
            raise typer.Exit(1) from error


def _safe(text: object) -> str:
    """Names come from events: what would move the cursor or turn the text is shown by its code."""
    from gamestream_dagster.reconciliation.report_view import visible

    return visible(str(text))


def _print(found: Why, limit: int | None) -> None:
    board, rank = found.board, found.board.rank_column
    who = " / ".join(found.entity)
    data.print(Text(_safe(f"{who} on {board.name}"), style="bold"))
    data.print(Text(f"shown      {_told(found, found.shown)}   ({found.sink.value})"))
    data.print(Text(f"recompute  {_told(found, found.recomputed)}"))
    for one in found.sums:
        key = ", ".join(f"{name} {value}" for name, value in one.key.items())
        data.print(Text(_safe(f"{one.column} = {one.total:,} from {one.events:,} events of {key}")))
        for line in _shortened(one, found.lines(one), limit):
            data.print(Text(line))
    _print_excluded(found)
    _print_neighbours(found, rank)
    if not found.adds_up:
        raise CouldNotRun("the events do not add up to the recomputed row; this should not be, please report it")
    verdict = "The lines add up to the row shown." if found.as_shown else _unlike(found)
    talk.print(Text(_safe(verdict)))


def _unlike(found: Why) -> str:
    in_flight = sum(one.in_flight for one in found.sums)
    if found.shown is None:
        return "It is not on the board."
    if in_flight:
        return f"The row shown may lack up to {in_flight} events that came after the job's last flush."
    return f"The row shown is not what the events give: gamestream reconcile --board {found.board.name} says why."


def _told(found: Why, row: Row | None) -> str:
    if row is None:
        return "no row"
    columns = [
        f"{name} {row[name]:,}"
        if isinstance(row[name], int) and column.type.value == "bigint"
        else f"{name} {row[name]}"
        for name, column in found.board.columns.items()
        if name not in (*found.board.entity, found.board.rank_column)
    ]
    return _safe(f"#{row[found.board.rank_column]}  {'  '.join(columns)}")


def _shortened(one: Sum, lines: Iterator[Row], limit: int | None) -> Iterator[str]:
    """The first and the last lines, and what those between add up to."""
    if limit is None or one.events <= 2 * limit + 1:
        yield from map(_line, lines)
        return
    first = list(islice(lines, limit))
    yield from map(_line, first)
    last: deque[Row] = deque(lines, maxlen=limit)
    between = last[0]["total"] - last[0]["score"] - first[-1]["total"]
    yield f"  ... {one.events - 2 * limit:,} more, together {between:+,} (--all shows them)"
    yield from map(_line, last)


def _line(row: Row) -> str:
    flight = "  in flight" if row["in_flight"] else ""
    return _safe(
        f"  p{row['partition']}@{row['offset']}  {_time(row['event_time_millis'])}  {row['score']:+,} = "
        f"{row['total']:,}"
        f"  {row['event_id'] or ''}{flight}"
    )


def _time(millis: int | None) -> str:
    return "no time" if millis is None else f"{datetime.fromtimestamp(millis / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _print_excluded(found: Why) -> None:
    if not found.excluded:
        return
    data.print(f"not counted: {len(found.excluded)} records")
    for row in found.excluded[:20]:
        reason = row["reason"]
        if reason == "COPY":
            reason = (
                f"copy of p{row['first_partition']}@{row['first_offset']}, {row['since_previous'] / 1000:.1f} s later"
            )
        score = "no score" if row["score"] is None else f"{row['score']:+,}"
        data.print(Text(_safe(f"  p{row['partition']}@{row['offset']}  {score}  {reason}  {row['event_id'] or ''}")))


def _print_neighbours(found: Why, rank: str) -> None:
    column = found.board.order[0].column
    for side, row in (("above", found.above), ("below", found.below), ("last", found.last)):
        if row is not None:
            name = " / ".join(str(row[part]) for part in found.board.entity)
            gap = _gap(found.recomputed, row, column)
            data.print(Text(_safe(f"{side:9}  #{row[rank]}  {name}  {column} {row[column]}{gap}")))


def _gap(mine: Row | None, other: Row, column: str) -> str:
    if mine is None or not isinstance(other[column], int):
        return ""
    gap = other[column] - mine[column]
    return f"  ({abs(gap):,} {'ahead' if gap > 0 else 'behind'})"


def _print_json(found: Why, limit: int | None) -> None:
    def events(one: Sum) -> Iterable[dict[str, Any]]:
        lines = found.lines(one)
        if limit is None or one.events <= 2 * limit + 1:
            return lines
        return chain(islice(lines, limit), deque(lines, maxlen=limit))

    told = {
        "board": found.board.name,
        "entity": list(found.entity),
        "sink": found.sink.value,
        "shown": found.shown,
        "recomputed": found.recomputed,
        "cut": {str(partition): offset for partition, offset in found.cut.items()},
        "adds_up": found.adds_up,
        "sums": [
            {
                "column": one.column,
                "key": one.key,
                "total": one.total,
                "events": one.events,
                "in_flight": one.in_flight,
                "lines": list(events(one)),
            }
            for one in found.sums
        ],
        "excluded": found.excluded,
        "above": found.above,
        "below": found.below,
    }
    typer.echo(json.dumps(told, ensure_ascii=False, indent=2))

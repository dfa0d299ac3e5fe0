"""`gamestream events`: the types of game events, their schemas, and the verdicts on a file of samples."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun
from gamestream_dagster.errors import GamestreamError

if TYPE_CHECKING:
    from gamestream_dagster.events.game_outcome import GameOutcome

talk = Talk(stderr=True)


class SchemaFormat(StrEnum):
    """What `events schema` prints."""

    JSON_SCHEMA = "json-schema"
    AVRO = "avro"


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Game events: types, schemas, and verdicts on your samples.", no_args_is_help=True)
    group.command("validate")(validate)
    group.command("types")(types)
    group.command("schema")(schema)
    app.add_typer(group, name="events", rich_help_panel=panels.EVENTS)


def validate(
    file: Annotated[str, typer.Argument(help="JSON lines or a JSON array, also gzip or zstd; - for standard input.")],
    refused: Annotated[bool, typer.Option("--refused", help="Show only the refused events.")] = False,
    received: Annotated[
        str | None,
        typer.Option(help="When Kafka takes them (ISO with a zone, or ms); default: now.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> None:
    """Judge the game events of a file as intake would. Exit code 1 if any is refused."""
    from gamestream_dagster.events.game_files import samples
    from gamestream_dagster.events.game_judge import GameEventJudge
    from gamestream_dagster.events.game_outcome import GameReason, GameRefused

    judge, at = GameEventJudge(), _millis(received)
    reasons: Counter[str] = Counter()
    accepted = late = 0
    with _opened(file) as stream, _sentences():
        for sample in samples(stream, "Standard input" if file == "-" else file):
            outcome: GameOutcome = (
                GameRefused(GameReason.NOT_JSON, None, sample.problem)
                if sample.problem
                else judge.judge(sample.value, at)
            )
            if isinstance(outcome, GameRefused):
                reasons[outcome.reason] += 1
            else:
                accepted += 1
                late += outcome.late
            if isinstance(outcome, GameRefused) or not refused:
                typer.echo(json.dumps(_data(sample.line, outcome)) if as_json else _line(sample.line, outcome))
    count = accepted + reasons.total()
    if not count:
        raise CouldNotRun(f"{file} has no events; write one JSON object into each line, or an array of them.")
    parts = [f"REFUSED={reasons.total()}", *(f"{reason}={number}" for reason, number in reasons.most_common())]
    talk.print(f"EVENTS={count} ACCEPTED={accepted} LATE={late} {' '.join(parts)}", soft_wrap=True)
    if reasons:
        raise typer.Exit(1)


def types(as_json: AsJson = False) -> None:
    """List the types of game events."""
    from gamestream_dagster.catalogue.game_event import load_game_events

    catalogue = load_game_events()
    if as_json:
        shown = [
            {"name": event.name, "family": event.family, "names": event.names, "description": event.description}
            for event in catalogue.types.values()
        ]
        typer.echo(json.dumps(shown))
        return
    wide = max(map(len, catalogue.types))
    for event in catalogue.types.values():
        other = ", ".join(event.names[1:])
        typer.echo(f"{event.name:{wide}}  {event.description}{f' Also: {other}.' if other else ''}")


def schema(
    name: Annotated[str, typer.Argument(metavar="TYPE", help="Event type, such as item_purchase.")],
    form: Annotated[SchemaFormat, typer.Option("--format", help="Which schema.")] = SchemaFormat.JSON_SCHEMA,
) -> None:
    """Print the schema of a type."""
    from gamestream_dagster.catalogue.game_event import load_game_events
    from gamestream_dagster.catalogue.game_schemas import avro_schema, json_schema

    catalogue = load_game_events()
    found = next((event for event in catalogue.types.values() if name in event.names), None)
    if found is None:
        raise CouldNotRun(f"There is no event type {name!r}; the types are: {', '.join(catalogue.types)}.")
    made = json_schema(found) if form is SchemaFormat.JSON_SCHEMA else avro_schema(found)
    typer.echo(json.dumps(made, indent=2))


def _line(line: int, outcome: GameOutcome) -> str:
    from gamestream_dagster.events.game_outcome import GameRefused

    if isinstance(outcome, GameRefused):
        return f"line {line}: refused {outcome.reason}: {outcome.detail}"
    said = ", ".join(text for text in ("late" if outcome.late else "", outcome.remark or "") if text)
    return f"line {line}: accepted {outcome.event_type}" + (f" ({said})" if said else "")


def _data(line: int, outcome: GameOutcome) -> dict[str, Any]:
    from gamestream_dagster.events.game_outcome import GameRefused

    if isinstance(outcome, GameRefused):
        refusal = {"code": outcome.reason, "field": outcome.field, "message": outcome.detail}
        return {"line": line, "verdict": "refused"} | refusal
    known = {"event_id": outcome.event_id, "event_type": outcome.event_type, "digest": outcome.digest}
    return {"line": line, "verdict": "accepted"} | known | {"late": outcome.late, "remark": outcome.remark}


def _millis(given: str | None) -> int:
    if given is None:
        return int(time.time() * 1000)
    if given.isascii() and given.isdigit() and len(given) <= 15:
        return int(given)
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise CouldNotRun(f"--received {given!r} is not a time; write it as 2026-01-31T12:00:00Z.") from error
    if moment.tzinfo is None:
        raise CouldNotRun(f"--received {given!r} has no zone; add Z for UTC.")
    return int(moment.timestamp() * 1000)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream: BinaryIO = open(file, "rb")  # noqa: SIM115, PTH123 - closed below
    except OSError as error:
        raise CouldNotRun(f"{file} cannot be read ({error.strerror}); give the path of a file.") from error
    with stream:
        yield stream


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except GamestreamError as error:
        raise CouldNotRun(str(error)) from error

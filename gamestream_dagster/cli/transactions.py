"""`gamestream simulate transactions`: transactions into Kafka, some of them several times."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gamestream_dagster.cli.events import start_millis
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.progress import progress

if TYPE_CHECKING:
    from gamestream_dagster.events.transactions import TransactionOptions, TransactionsResult

talk = Talk(stderr=True)


def transactions(  # noqa: PLR0917 - Typer reads the options from the signature
    rate: Annotated[float, typer.Option(help="Records per second, on average.")] = 50.0,
    events: Annotated[int | None, typer.Option(help="Stop after so many records.", show_default=False)] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after so many seconds.", show_default=False)] = None,
    dup: Annotated[float, typer.Option(help="Per cent sent again, byte for byte.")] = 10.0,
    conflict: Annotated[float, typer.Option(help="Per cent sent again with another amount.")] = 1.0,
    bad: Annotated[float, typer.Option(help="Per cent refused, each kind in turn.")] = 0.0,
    keyless: Annotated[float, typer.Option(help="Per cent without a record key.")] = 20.0,
    wrong_key: Annotated[float, typer.Option(help="Per cent keyed by the player.")] = 20.0,
    players: Annotated[int, typer.Option(help="Players that pay.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same bytes.")] = 1,
    start: Annotated[
        str | None, typer.Option(help="Time of the beginning (ISO, UTC); default: now.", show_default=False)
    ] = None,
    as_fast_as_possible: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="Do not wait until a record is due.")
    ] = False,
    truth: Annotated[
        Path | None,
        typer.Option(help="File for the transactions that must pass (default under the home).", show_default=False),
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="Another topic than that of topics.yaml.", show_default=False)
    ] = None,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Send transactions, some of them several times or under a wrong key, and write down which must pass."""
    given = {
        "rate": rate,
        "events": events,
        "duration": duration,
        "dup": dup,
        "conflict": conflict,
        "bad": bad,
        "keyless": keyless,
        "wrong_key": wrong_key,
        "players": players,
        "seed": seed,
        "start_ms": start_millis(start),
    }
    options = _options(given)
    settings = settings_from(home, port_base)
    path = truth or settings.home / "truth" / f"transactions-{options.start_ms}-{seed}.jsonl"
    from gamestream_dagster.events.transactions import simulate_transactions

    with as_could_not_run(), progress(talk, options.events, "transactions") as advance:
        result = simulate_transactions(
            settings,
            options,
            truth=path,
            paced=not as_fast_as_possible,
            topic=topic,
            on_progress=lambda found: advance(found.sent, options.events),
        )
    _print(result, as_json)
    if result.interrupted:
        raise typer.Exit(130)


def _options(given: dict[str, float | int | None]) -> TransactionOptions:
    from pydantic import ValidationError

    from gamestream_dagster.events.transactions import TransactionOptions

    try:
        return TransactionOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = " ".join(f"--{str(part).replace('_', '-')}" for part in first["loc"])
        raise CouldNotRun(f"{name or 'The options'}: {first['msg']}.") from error


def _print(result: TransactionsResult, as_json: bool) -> None:
    kinds = {kind: result.kinds.get(kind, 0) for kind in ("normal", "dup", "conflict", "bad")}
    if as_json:
        found = {"sent": result.sent, **kinds, "unique": result.unique, "seconds": round(result.seconds, 3)}
        found |= {"truth": str(result.truth) if result.truth else None, "interrupted": result.interrupted}
        sys.stdout.write(json.dumps(found) + "\n")
    stopped = "Stopped" if result.interrupted else "Done"
    counts = " ".join(f"{kind.upper()}={count}" for kind, count in kinds.items())
    talk.print(f"{stopped}. SENT={result.sent} {counts} UNIQUE={result.unique}  {result.seconds:.1f} s", soft_wrap=True)
    if result.truth:
        talk.print(f"truth: {result.truth}", soft_wrap=True)
    talk.print("Next: gamestream reconcile --board transaction_ids   |   gamestream topic tail transactions-refused")

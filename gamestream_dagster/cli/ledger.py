"""`gamestream ledger`: what each stage of intake counted, minute by minute."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.intake.model import IntakeLedger

data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)
_COLUMNS = (
    "minute", "received", "accepted", "duplicate", "refused", "retry", "raw (http)", "raw", "enriched", "late", "dead",
    "copies", "open", "by intake", "scores",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=panels.EVENTS)(ledger)


def ledger(
    home: Home = None,
    port_base: PortBase = None,
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, max=7 * 24 * 60, help="How many minutes, up to now.")
    ] = 60,
    as_json: AsJson = False,
) -> None:
    """Print what each stage of intake counted, minute by minute: HTTP, raw topic, outputs, scores.

    Exit codes: 0 every stage adds up; 1 one does not: minute and offsets are named; 2 nobody could look.
    """
    from gamestream_dagster.reconciliation.intake.ledger import ledger_data
    from gamestream_dagster.reconciliation.intake.run import reconcile_intake

    settings = settings_from(home, port_base)
    with as_could_not_run(), talk.status("counting") as status:
        proof = reconcile_intake(
            settings, hours=minutes / 60, ledger_minutes=minutes, say=lambda doing: status.update(f"counting: {doing}")
        )
        if proof.ledger is None:
            raise CouldNotRun(f"Nothing could be counted: {proof.reason}")
    if as_json:
        typer.echo(json.dumps(ledger_data(proof.ledger), indent=2))
    else:
        _show(proof.ledger)
    raise typer.Exit(0 if proof.ledger.balanced else 1)


def _show(found: IntakeLedger) -> None:
    from gamestream_dagster.reconciliation.intake.model import clock

    table = Table(box=None)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "minute" else "right")
    for one in found.minutes:
        fates = (one.enriched, one.late, one.dead, one.copies, one.open)
        numbers = (*one.http, one.bearing, one.raw, *fates, one.job, one.scores)
        cells = [Text("" if number is None else f"{number:,}") for number in numbers]
        table.add_row(Text(clock(one.minute), style="red" if one.faults else ""), *cells)
    if found.minutes:
        print_table(table)
    else:
        data.print(f"Nothing came since {clock(found.since)}.")
    for sentence in found.faults:
        data.print(Text(f"FAULT  {sentence}", style="red"), soft_wrap=True)
    data.print("BALANCED" if found.balanced else Text("NOT BALANCED", style="bold red"))
    talk.print("Next: gamestream reconcile --intake")

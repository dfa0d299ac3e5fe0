"""`gamestream reconcile --metrics DATE`: live numbers of a day against the settled ones, printed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.options import as_could_not_run
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from datetime import date

    from gamestream_dagster.reconciliation.live.model import DayProof
    from gamestream_dagster.settings import Settings

data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)

_STYLES = {"MATCH": "bold green", "EXPLAINED": "green", "DIFFERENT": "bold red", "COULD_NOT_RUN": "bold yellow"}


def prove_day(settings: Settings, day: date, *, as_json: bool) -> NoReturn:
    """Compare live and settled counts of a day, print the proof, and end with its exit code."""
    from gamestream_dagster.reconciliation.live.run import reconcile_day

    with as_could_not_run(), talk.status("reconciling") as status:
        proof = reconcile_day(settings, day, say=lambda doing: status.update(f"reconciling {day}: {doing}"))
    if as_json:
        typer.echo(json.dumps(proof_data(proof), indent=2))
    else:
        _show(proof)
    raise typer.Exit(proof.exit_code)


def proof_data(proof: DayProof) -> dict[str, Any]:
    """The proof as JSON."""
    return {
        "day": proof.day.isoformat(),
        "verdict": proof.verdict.value,
        "reason": proof.reason,
        "settle_version": proof.version,
        "seconds": round(proof.seconds, 3),
        "types": [
            {
                "event_type": one.event_type,
                "live": one.live,
                "settled": one.settled,
                "difference": one.difference,
                "causes": {cause.value: events for cause, events in one.causes.items()},
            }
            for one in proof.types
        ],
    }


def _show(proof: DayProof) -> None:
    from gamestream_dagster.reconciliation.live.model import MEANINGS
    from gamestream_dagster.reconciliation.model.values import Verdict

    if proof.verdict is Verdict.COULD_NOT_RUN:
        talk.print(Text(runnable(f"Could not run: {proof.reason}"), style="yellow"))
        talk.print(f"COULD_NOT_RUN: nothing is said about {proof.day}.")
        return
    table = Table(title=f"{proof.day}, settle_version {proof.version}", box=None, title_justify="left")
    table.add_column("event_type")
    for name in ("live", "settled", "difference"):
        table.add_column(name, justify="right")
    table.add_column("causes")
    for one in proof.types:
        causes = ", ".join(f"{cause.value} {events:+,}" for cause, events in one.causes.items())
        difference = f"{one.difference:+,}" if one.difference else "0"
        table.add_row(Text(one.event_type), f"{one.live:,}", f"{one.settled:,}", difference, causes)
    print_table(table)
    for cause in dict.fromkeys(cause for one in proof.types for cause in one.causes):
        data.print(f"{cause.value}: {MEANINGS[cause]}")
    data.print(Text.assemble((proof.verdict.value, _STYLES[proof.verdict.value]), f"   {proof.seconds:.1f} s"))
    different = proof.verdict is Verdict.DIFFERENT
    talk.print(f"Next: {'gamestream reconcile --board events_agg_1min' if different else 'gamestream status'}")

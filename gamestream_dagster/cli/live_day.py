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

    from gamestream_dagster.reconciliation.live.model import DayProof, Number
    from gamestream_dagster.settings import Settings

data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)

_STYLES = {"MATCH": "bold green", "EXPLAINED": "green", "DIFFERENT": "bold red", "COULD_NOT_RUN": "bold yellow"}


def prove_day(settings: Settings, day: date, *, as_json: bool) -> NoReturn:
    """Compare live and settled numbers of a day, print the proof, and end with its exit code."""
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
        "settle_versions": dict(proof.versions),
        "left_out": dict(proof.left_out),
        "seconds": round(proof.seconds, 3),
        "numbers": [
            {
                "metric": one.metric,
                "column": one.column,
                "output": one.output,
                "group": list(one.group),
                "live": _plain(one.live),
                "settled": _plain(one.settled),
                "difference": _plain(one.difference),
                "causes": {cause.value: _plain(more) for cause, more in one.causes.items()},
            }
            for one in proof.numbers
        ],
    }


def _plain(number: Number) -> int | str:
    """Money as a text: JSON has no exact decimals."""
    return number if isinstance(number, int) else _short(number)


def _short(number: Number) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number.normalize():f}"


def _more(number: Number) -> str:
    return "0" if not number else f"+{_short(number)}" if number > 0 else _short(number)


def _show(proof: DayProof) -> None:
    from gamestream_dagster.reconciliation.live.model import MEANINGS
    from gamestream_dagster.reconciliation.model.values import Verdict

    if proof.verdict is Verdict.COULD_NOT_RUN:
        talk.print(Text(runnable(f"Could not run: {proof.reason}"), style="yellow"))
        talk.print(f"COULD_NOT_RUN: nothing is said about {proof.day}.")
        return
    versions = ", ".join(f"{name} {version}" for name, version in proof.versions.items())
    table = Table(title=f"{proof.day}, settle_version: {versions}", box=None, title_justify="left")
    for name in ("output", "number"):
        table.add_column(name)
    for name in ("live", "settled", "difference"):
        table.add_column(name, justify="right")
    table.add_column("causes")
    for one in proof.numbers:
        causes = ", ".join(f"{cause.value} {_more(more)}" for cause, more in one.causes.items())
        numbers = _short(one.live), _short(one.settled), _more(one.difference)
        table.add_row(Text(one.output), Text(one.name), *numbers, causes)
    print_table(table)
    for name, why in proof.left_out.items():
        data.print(Text(runnable(f"Not compared: {name}: {why}"), style="yellow"))
    for cause in dict.fromkeys(cause for one in proof.numbers for cause in one.causes):
        data.print(f"{cause.value}: {MEANINGS[cause]}")
    data.print(Text.assemble((proof.verdict.value, _STYLES[proof.verdict.value]), f"   {proof.seconds:.1f} s"))
    wrong = next((one.output for one in proof.numbers if any(cause.unexplained for cause in one.causes)), None)
    talk.print(f"Next: {f'gamestream reconcile --board {wrong}' if wrong else 'gamestream status'}")

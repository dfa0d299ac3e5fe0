"""`gamestream alerts drill`: every rule fires once by what it is about, on servers of its own."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gamestream_dagster.cli.alerts_output import print_table_of
from gamestream_dagster.cli.drill import Speaker, as_interrupt
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, PortBase, as_could_not_run

if TYPE_CHECKING:
    from gamestream_dagster.alert_drill.model import Tried

talk = Talk(stderr=True)


def drill(
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this alert and those of its condition; repeatable.")
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(help="A home for drills: created when empty, left running. Default: a temporary stack."),
    ] = None,
    port_base: PortBase = None,
    show: Annotated[bool, typer.Option("--list", help="List the conditions and the alerts, without a drill.")] = False,
    as_json: AsJson = False,
) -> None:
    """Plant each alert's condition on servers of its own; it must fire, be told once, and resolve. About 20 minutes.

    Limits are smaller and spans shorter than as shipped, so that nobody waits for days; what is measured is the same.
    Exit code 0 if each alert that a drill can make fire did, 1 if one did not, 2 if one could not be tried.
    """
    from gamestream_dagster.alert_drill.model import AlertVerdict
    from gamestream_dagster.alert_drill.plants import CATALOGUE, NOT_TRIED
    from gamestream_dagster.alert_drill.run import drill_on

    if show:
        rows = [(name, plant.name, plant.what) for plant in CATALOGUE for name in plant.rules]
        print_table_of(("ALERT", "CONDITION", "WHAT"), [*rows, *((one, "-", why) for one, why in NOT_TRIED.items())])
        return
    signal.signal(signal.SIGTERM, as_interrupt)  # otherwise servers would stay behind
    with as_could_not_run():
        found = drill_on(on, port_base, tuple(only or ()), Speaker(), on_result=_tell)
    if as_json:
        sys.stdout.write(json.dumps([one.as_data() for one in found]) + "\n")
    else:
        print_table_of(("ALERT", "STATUS", "FIRED", "RESOLVED", "COMMANDS", "WHY"), map(_row, found))
    counts = Counter(one.verdict for one in found)
    talk.print("Done. " + " ".join(f"{verdict.value}={counts[verdict]}" for verdict in AlertVerdict))
    if counts[AlertVerdict.NOT_HELD]:
        raise typer.Exit(1)
    if counts[AlertVerdict.COULD_NOT_RUN]:
        raise typer.Exit(2)


def _row(one: Tried) -> tuple[str, ...]:
    worked = f"{sum(command.worked for command in one.commands)}/{len(one.commands)}" if one.commands else "-"
    why = one.not_tried or one.could_not or "; ".join(one.wrong)
    return (one.rule, one.verdict.value, _seconds(one.fired_seconds), _seconds(one.resolved_seconds), worked, why)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"


def _tell(one: Tried) -> None:
    why = one.not_tried or one.could_not or "; ".join(one.wrong)
    talk.print(f"{one.verdict.value}  {one.rule}{f': {why}' if why else ''}", soft_wrap=True)

"""`gamestream alerts drill`: every alert fires for real once, on servers of its own."""

from __future__ import annotations

import json
import signal
import sys
import time
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
        list[str] | None, typer.Option("--only", help="Only this alert; repeatable. `--list` shows the names.")
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(help="A home for drills: created when empty, left running. Default: a temporary stack."),
    ] = None,
    port_base: PortBase = None,
    show: Annotated[bool, typer.Option("--list", help="List the conditions and the alerts, without a drill.")] = False,
    as_json: AsJson = False,
) -> None:
    """Plant each alert's condition on servers of its own: it must fire, reach an inbox and resolve.

    Also runs the safe commands of each runbook while its alert fires. Limits are smaller and windows shorter than as
    shipped; what is measured is the same. Exit code 0 if every alert held, 1 if one did not, 2 if one could not be
    tried.
    """
    from gamestream_dagster.alert_drill.model import AlertVerdict
    from gamestream_dagster.alert_drill.plants import CATALOGUE
    from gamestream_dagster.alert_drill.run import drill_on

    if show:
        rows = [(name, plant.name, plant.what) for plant in CATALOGUE for name in plant.rules]
        print_table_of(("ALERT", "CONDITION", "WHAT"), rows)
        return
    signal.signal(signal.SIGTERM, as_interrupt)  # otherwise servers would stay behind
    began = time.monotonic()
    with as_could_not_run():
        found = drill_on(on, port_base, tuple(only or ()), Speaker(), on_result=_tell)
    if as_json:
        sys.stdout.write(json.dumps([one.as_data() for one in found]) + "\n")
    else:
        print_table_of(("ALERT", "STATUS", "FIRED", "RESOLVED", "MESSAGES", "COMMANDS", "WHY"), map(_row, found))
    counts = Counter(one.verdict for one in found)
    told = " ".join(f"{verdict.value}={counts[verdict]}" for verdict in AlertVerdict)
    talk.print(f"Done. {told} TOTAL={len(found)}  {time.monotonic() - began:.0f} s")
    if counts[AlertVerdict.NOT_HELD]:
        raise typer.Exit(1)
    if counts[AlertVerdict.COULD_NOT_RUN]:
        raise typer.Exit(2)


def _row(one: Tried) -> tuple[str, ...]:
    answered = f"{sum(command.answered for command in one.commands)}/{len(one.commands)}" if one.commands else "-"
    messages = str(sum(sum(counts) for counts in (one.told or {}).values())) if one.told else "-"
    return (one.rule, one.verdict.value, _seconds(one.fired_seconds), _seconds(one.resolved_seconds), messages,
            answered, one.why)  # fmt: skip


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"


def _tell(one: Tried) -> None:
    talk.print(f"{one.verdict.value}  {one.rule}{f': {one.why}' if one.why else ''}", soft_wrap=True)

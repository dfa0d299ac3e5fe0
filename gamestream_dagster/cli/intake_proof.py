"""`gamestream reconcile --intake`: the proof of intake, printed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.text import Text

from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.options import as_could_not_run

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.intake.model import IntakeProof
    from gamestream_dagster.settings import Settings

data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)

_STYLES = {"MATCH": "bold green", "EXPLAINED": "green", "DIFFERENT": "bold red", "COULD_NOT_RUN": "bold yellow"}


def prove_intake(settings: Settings, *, as_json: bool) -> NoReturn:
    """Reconcile intake, print the proof, and end with its exit code."""
    from gamestream_dagster.reconciliation.intake.run import proof_data, reconcile_intake

    with as_could_not_run(), talk.status("reconciling intake") as status:
        proof = reconcile_intake(settings, say=lambda doing: status.update(f"reconciling intake: {doing}"))
    if as_json:
        typer.echo(json.dumps(proof_data(proof), indent=2))
    else:
        _show(proof)
    raise typer.Exit(proof.exit_code)


def _show(proof: IntakeProof) -> None:
    from gamestream_dagster.fates.outputs import Fate
    from gamestream_dagster.reconciliation.intake.model import Held
    from gamestream_dagster.reconciliation.model.cut import shown
    from gamestream_dagster.reconciliation.model.values import Verdict

    if proof.verdict is Verdict.COULD_NOT_RUN:
        talk.print(Text(runnable(f"Could not run: {proof.reason}"), style="yellow"))
        talk.print("COULD_NOT_RUN: nothing is said about intake.")
        return
    data.print(f"cut      checkpoint {proof.checkpoint_id}  low {shown(proof.low)}")
    data.print(f"high     {shown(proof.high)}   topic {proof.topic_id or '?'}")
    if proof.holds_from:
        data.print(
            f"from     {shown(proof.holds_from)}: the archive begins there, and nothing is said of what was before"
        )
    counted = {fate: proof.fates.get(fate, 0) for fate in Fate}
    data.print(
        f"fates    {proof.judged:,} records = {counted[Fate.ENRICHED]:,} enriched + {counted[Fate.LATE]:,} late + "
        f"{counted[Fate.DEAD]:,} dead letters + {counted[Fate.COPY]:,} copies"
    )
    if proof.held:
        data.print(
            f"         not judged: {proof.held.get(Held.OPEN, 0):,} between the cuts, "
            f"{proof.held.get(Held.PAST, 0):,} that the topics no longer keep"
        )
    data.print(f"scores   {proof.scores:,} enriched production scores looked for in user-score")
    for fault in proof.faults:
        style = "yellow" if fault.accepted else "bold red"
        data.print(Text.assemble((fault.kind.value, style), f"  {fault.sentence}  ", (fault.cause.value, style)))
    told, found = sum(one.records for one in proof.faults), sum(proof.fault_records.values())
    if found > told:
        data.print(f"         and {found - told:,} more records with faults, which are not listed")
    if proof.verdict is Verdict.EXPLAINED:
        data.print(Text(f"because  {proof.reason}"), soft_wrap=True)
    data.print(Text.assemble((proof.verdict.value, _STYLES[proof.verdict.value]), f"   {proof.seconds:.1f} s"))
    following = "gamestream status"
    if proof.faults:
        one = proof.faults[0]
        following = f"gamestream topic tail {one.held_in[0].split()[0]}" if one.held_in else "gamestream jobs list"
    talk.print(f"Next: {following}")

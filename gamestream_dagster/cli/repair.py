"""`gamestream repair`: correct differences whose cause lies in a sink and not in the job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.model.values import Difference
    from gamestream_dagster.reconciliation.repair import RepairOutcome, RepairPlan, RepairStep

data = PlainConsole(width=200, soft_wrap=True)
talk = Talk(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=panels.PROOF)(repair)


def repair(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run/--yes", help="Only show the corrections (the default).")] = True,
    board: Annotated[list[str] | None, typer.Option(help="Only this board; repeatable.")] = None,
    as_json: AsJson = False,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Rewrite rows where a sink is behind, was edited, or holds a deleted row. Exit code 1: not done."""
    from gamestream_dagster.reconciliation.ledger.edited_counter import counter_lines, repair_counters, repairable
    from gamestream_dagster.reconciliation.model.values import Sink, Verdict
    from gamestream_dagster.reconciliation.repair import RepairOutcome, apply_repair, plan_repair
    from gamestream_dagster.reconciliation.run import reconcile

    settings = settings_from(home, port_base)
    with as_could_not_run():
        run = reconcile(settings, boards=board, sinks=list(Sink), say=lambda text: talk.print(Text(text, style="dim")))
        if run.verdict is Verdict.COULD_NOT_RUN:
            raise CouldNotRun(run.reason)
        plan = plan_repair(run)
        done = [] if dry_run else apply_repair(settings, run, plan, lambda text: talk.print(Text(text, style="dim")))
        counters = repairable(run.ledger_faults)
        mended = [] if dry_run else repair_counters(settings, counters)
    if as_json:
        counted = {"counter": counter_lines(counters, mended)}
        typer.echo(json.dumps(_as_data(plan, done) | counted, ensure_ascii=False, default=str))
    else:
        for line in counter_lines(counters, mended):
            data.print(Text(line))
        if not counters or plan.steps or plan.left_alone:
            _show(plan, done, dry_run)
        elif dry_run:
            talk.print("Nothing was changed. Apply with `gamestream repair --yes`.")
    open_steps = len(plan.steps) - sum(outcome is RepairOutcome.DONE for _, outcome in done)
    open_steps += len(counters) - sum(mended)
    raise typer.Exit(1 if open_steps else 0)


def _as_data(plan: RepairPlan, done: list[tuple[RepairStep, RepairOutcome]]) -> dict[str, object]:
    from gamestream_dagster.reconciliation.results.store import plain

    outcomes = {id(step): outcome.value for step, outcome in done}
    return {
        "steps": [
            {
                "board": step.board,
                "sink": step.sink.value,
                "rank": step.rank,
                "key": plain(step.key),
                "action": step.action.value,
                "shown": plain(step.shown),
                "right": plain(step.right),
                "cause": step.cause,
                "record": plain(step.record),
                "outcome": outcomes.get(id(step), "PLANNED"),
            }
            for step in plan.steps
        ],
        "left_alone": [
            {
                "board": one.difference.board,
                "sink": one.difference.sink.value,
                "rank": one.difference.rank,
                "cause": one.difference.cause,
                "why": one.why,
            }
            for one in plan.left_alone
        ],
    }


def _show(plan: RepairPlan, done: list[tuple[RepairStep, RepairOutcome]], dry_run: bool) -> None:
    from gamestream_dagster.reconciliation.results.store import plain

    outcomes = {id(step): outcome.value for step, outcome in done}
    for step in plan.steps:
        right = "nothing" if step.right is None else json.dumps(plain(step.right), ensure_ascii=False)
        state = outcomes.get(id(step), "planned")
        data.print(
            Text(
                f"{step.action.value:6} {step.board} {step.place} in {step.sink.value}  {step.cause}  "
                f"-> {right}  {state}"
            )
        )
    for one in plan.left_alone:
        difference = one.difference
        data.print(
            Text(
                f"LEAVE  {difference.board} {_place(difference)} in {difference.sink.value}  {difference.cause}  "
                f"{one.why}"
            )
        )
    _say_next(plan, outcomes, dry_run)


def _place(difference: Difference) -> str:
    if difference.rank is None and difference.entity:
        return " / ".join(difference.entity)
    return f"#{difference.rank or '-'}"


def _say_next(plan: RepairPlan, outcomes: dict[int, str], dry_run: bool) -> None:
    if not plan.steps:
        talk.print("Nothing to repair." if not plan.left_alone else "Nothing to repair in a sink.")
    elif dry_run:
        talk.print("Nothing was changed. Apply with `gamestream repair --yes`.")
    elif "NOT_KEPT" in outcomes.values():
        talk.print(
            "Postgres accepted writes and did not keep them: find the trigger or a rule on the table "
            "(`SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT tgisinternal`), drop it, "
            "and run `gamestream repair --yes` again."
        )
    elif "MOVED_ON" in outcomes.values():
        talk.print("Some rows changed in the meantime. Run `gamestream repair --yes` again.")
    else:
        talk.print("Next: gamestream reconcile")

"""`gamestream plan`, `apply`, `delete`: what should exist against what does."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole, styled
from gamestream_dagster.cli.dagster_link import provisioned_events, refresh_definitions, report
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, Yes, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.provisioning.model import Plan, ResourceKind, ResourceStatus, StepResult
    from gamestream_dagster.settings import Settings

# A pipe has no width of its own; a narrow guess would cut the sentences.
data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)

Kinds = Annotated[
    list[str] | None,
    typer.Option("--only", help="Only this kind (migration, table, topic, subject, job); may be given several times."),
]
STATE_STYLES = {"PRESENT": "green", "MISSING": "yellow", "DRIFTED": "red", "UNKNOWN": "magenta"}
OUTCOMES = {"DONE": "[green]done[/]   ", "NOTHING_TO_DO": "[dim]stands[/] ", "FAILED": "[red]FAILED[/] "}


def register(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.command("plan", rich_help_panel=panels.RESOURCES)(plan)
    app.command("apply", rich_help_panel=panels.RESOURCES)(apply)
    app.command("delete", rich_help_panel=panels.RESOURCES)(delete)


def plan(home: Home = None, port_base: PortBase = None, only: Kinds = None, as_json: AsJson = False) -> None:
    """Show what is missing or has drifted, and what `apply` would do.

    Exit codes: 0 everything is as described; 1 changes or drift; 2 a service did not answer.
    """
    settings = settings_from(home, port_base)
    with as_could_not_run():
        found = _look(settings, _kinds(only))
    _show(found, as_json)
    if not as_json:
        _closing(found, "Next: gamestream apply" if found.steps else "")
    raise typer.Exit(found.exit_code)


def apply(home: Home = None, port_base: PortBase = None, only: Kinds = None, as_json: AsJson = False) -> None:
    """Create what is missing and deploy the jobs; drift is reported and left alone.

    Exit codes: those of `plan` afterwards, and 1 when a step failed.
    """
    settings = settings_from(home, port_base)
    with as_could_not_run():
        kinds = _kinds(only)
        results = _carry_out(settings, _look(settings, kinds))
        after = _look(settings, kinds)
        _tell_dagster(settings, results)
    _show(after, as_json, results)
    if not as_json:
        _closing(after, "Next: gamestream status" if after.exit_code == 0 else "Next: gamestream plan")
    failed = any(result.outcome == "FAILED" for result in results)
    raise typer.Exit(after.exit_code or (1 if failed else 0))


def delete(
    kind: Annotated[str, typer.Argument(help="topic, subject or table.")],
    name: Annotated[str, typer.Argument(help="Its name, as `gamestream plan` shows it.")],
    home: Home = None,
    port_base: PortBase = None,
    yes: Yes = False,
) -> None:
    """Delete one topic, subject or table with what it holds. Asks first."""
    from gamestream_dagster.provisioning import manager

    settings = settings_from(home, port_base)
    with as_could_not_run():
        [wanted] = _kinds([kind])
        if wanted == "job":
            raise CouldNotRun("A job is not deleted; stop it with a savepoint: `gamestream jobs suspend NAME`.")
        lost = manager.holdings(settings, wanted, name)
        if lost is None:
            talk.print(f"There is no {kind} {name}; nothing to delete.")
            return
        if not yes:
            _ask(f"Delete {kind} {name} with {lost}?")
        manager.delete(settings, wanted, name)
    talk.print(f"Deleted {kind} {name} with {lost}. `gamestream apply` creates it anew, empty.")


def _ask(question: str) -> None:
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # no terminal to answer from
        agreed = False
    if not agreed:
        talk.print("Nothing was deleted. To delete without being asked, add --yes.")
        raise typer.Exit(1)


def _kinds(only: Sequence[str] | None) -> list[ResourceKind]:
    from gamestream_dagster.provisioning.model import ResourceKind

    try:
        return [ResourceKind(name) for name in only] if only else list(ResourceKind)
    except ValueError as error:
        wrong = ", ".join(name for name in only or () if name not in list(ResourceKind))
        raise CouldNotRun(f"There is no kind {wrong}; choose one of {', '.join(ResourceKind)}.") from error


def _look(settings: Settings, kinds: list[ResourceKind]) -> Plan:
    from gamestream_dagster.provisioning import manager

    with talk.status("Looking at the resources ..."):
        return manager.plan(settings, kinds)


def _carry_out(settings: Settings, planned: Plan) -> list[StepResult]:
    from gamestream_dagster.provisioning import manager

    def told(result: StepResult) -> None:
        line = f"{result.planned.kind:<9} {result.planned.name}" + (f"  {result.error}" if result.error else "")
        talk.print(styled(OUTCOMES[result.outcome] + " {}", line), soft_wrap=True)

    return manager.apply(settings, planned, told, lambda line: talk.print(styled("  [dim]{}[/]", line), soft_wrap=True))


def _tell_dagster(settings: Settings, results: Sequence[StepResult]) -> None:
    """The definitions first: an event of an asset that Dagster does not know yet is shown nowhere."""
    from gamestream_dagster.cli.job_orders import job_events

    refresh_definitions(settings, _dim)
    jobs = [one.planned.name for one in results if one.planned.kind == "job" and one.outcome == "DONE"]
    report(settings, [*provisioned_events(results), *job_events(settings, jobs, "gamestream apply", _dim)], _dim)


def _dim(sentence: str) -> None:
    talk.print(Text(sentence, style="dim"))


def _show(found: Plan, as_json: bool, results: Sequence[StepResult] = ()) -> None:
    if as_json:
        failures = [{"kind": r.planned.kind, "name": r.planned.name, "error": r.error} for r in results if r.error]
        answer = {
            "exit_code": found.exit_code,
            "counts": _counts(found),
            "resources": [status.as_json() for status in found.statuses],
            "failures": failures,
        }
        sys.stdout.write(json.dumps(answer, indent=2, default=str) + "\n")
        return
    table = Table("KIND", "NAME", "STATUS", "CHANGE", box=None, pad_edge=False)
    for status in found.statuses:
        style = STATE_STYLES[status.state]
        table.add_row(status.kind, Text(status.name), Text(status.state, style), Text(runnable(_change(status))))
    print_table(table)


def _change(status: ResourceStatus) -> str:
    said = [status.change] if status.change else []
    said += status.details
    return "; ".join(said) + (" (left as it is)" if status.state == "DRIFTED" and not status.change else "")


def _counts(found: Plan) -> dict[str, int]:
    from gamestream_dagster.provisioning.model import ResourceState

    return {state.value: len(found.having(state)) for state in ResourceState}


def _closing(found: Plan, following: str) -> None:
    counts = _counts(found)
    said = " ".join(f"{name}={count}" for name, count in counts.items())
    talk.print(f"Done. {said} TOTAL={len(found.statuses)}")
    if any(status.state == "DRIFTED" and not status.change for status in found.statuses):
        talk.print("Drift is left as it is: change the resource or its description by hand.")
    if following:
        talk.print(following)

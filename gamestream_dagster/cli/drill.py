"""`gamestream drill`: fault injection on a sandbox stack, with a matrix of the outcomes."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole, styled
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.drill.model import DrillRun, ScenarioResult
    from gamestream_dagster.drill.scenarios import Scenario

# A pipe has no width; a narrow guess would truncate the lines.
data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)

_STYLES = {"HELD": "bold green", "NOT_HELD": "bold red", "COULD_NOT_RUN": "bold yellow"}


def register(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("drill", rich_help_panel=panels.QUALITY)(drill)


def drill(  # noqa: PLR0917 - one parameter an option
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this scenario; repeatable. See --list.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Repetitions of every scenario.")] = 1,
    home: Home = None,
    port_base: PortBase = None,
    on: Annotated[
        Path | None,
        typer.Option(help="A home for drills: created when empty, left running. Default: a temporary stack."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Where to write the page; default <home>/reports/drill/.")] = None,
    rate: Annotated[float, typer.Option(min=1, max=5000, help="Events per second of the crowd.")] = 100.0,
    seed: Annotated[int, typer.Option(help="Seed of the crowd: the same seed sends the same events.")] = 5,
    look_every: Annotated[
        float,
        typer.Option(min=1, max=120, help="Seconds between two observations of the job manager; its sensor uses 30."),
    ] = 30.0,
    show: Annotated[bool, typer.Option("--list", help="List the scenarios without running them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Kill, corrupt and hang servers under the jobs, and prove that every job recovers. Exit code 0 held, 1 not.

    It starts servers of its own and never touches a running stack. 20 kills in a row: --only kills --repeat 20.
    """
    from gamestream_dagster.drill.report import write_drill
    from gamestream_dagster.drill.run import DrillOptions, drill_on
    from gamestream_dagster.drill.scenarios import CATALOGUE, choose

    if show:
        _list(CATALOGUE)
        return
    settings = settings_from(home)
    signal.signal(signal.SIGTERM, as_interrupt)  # otherwise servers would stay behind
    with as_could_not_run():
        options = DrillOptions(choose(tuple(only or ())), repeat, seed, rate, look_every)
        run = drill_on(on, port_base, options, Speaker(), on_result=_tell)
    page = write_drill(settings.reports_dir / "drill", run, html)
    if as_json:
        from gamestream_dagster.drill.view import as_data

        typer.echo(json.dumps(as_data(run), indent=2, default=str))
    else:
        _show(run)
    talk.print(f"Report: {page.absolute().as_uri()}", soft_wrap=True)
    raise typer.Exit(run.exit_code)


class Speaker:
    """Progress lines with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print a line."""
        talk.print(f"{time.monotonic() - self._began:7.1f} s  {text}", soft_wrap=True)


def _tell(result: ScenarioResult) -> None:
    from gamestream_dagster.drill.view import job_line

    style = _STYLES[result.verdict]
    talk.print(
        styled(f"[{style}]{{}}[/]  {{}}", result.verdict, f"{result.name} {result.number}  {result.seconds:.0f} s")
    )
    for line in [job_line(job) for job in result.jobs] + list(result.reasons) + [result.could_not]:
        if line:
            talk.print(f"           {line}", soft_wrap=True)


def _show(run: DrillRun) -> None:
    from gamestream_dagster.drill import view

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in view.COLUMNS:
        table.add_column(name, no_wrap=name == "scenario", overflow="fold")
    if run.fault_free:
        found, unknown = run.fault_free, view.NOT_KNOWN
        equal = "yes" if found.equal else "no"
        table.add_row("(no fault)", *[unknown] * 6, str(found.lost), str(found.doubled), equal, "the answer")
    for row in view.matrix(run):
        style = _STYLES[row.verdict]
        table.add_row(*row.cells[:-1], styled(f"[{style}]{{}}[/]", row.verdict))
    data.print(table)
    for one in run.times:
        data.print(view.times_line(one))
    for result in run.results:
        for reason in (*result.reasons, result.could_not):
            if reason:
                data.print(f"{result.name} {result.number}: {reason}", soft_wrap=True)
    if run.could_not:
        data.print(run.could_not, soft_wrap=True)
    line = f"{len(run.results)} scenarios in {run.seconds:.0f} s"
    data.print(styled(f"[{_STYLES[run.verdict]}]{{}}[/]  {{}}", run.verdict, line))


def _list(scenarios: Iterable[Scenario]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("scenario", "fault", "has to hold"):
        table.add_column(name, overflow="fold")
    for one in scenarios:
        table.add_row(one.name if one.listed else f"{one.name} (only when named)", one.title, one.expects)
    data.print(table)


def as_interrupt(*_: object) -> None:
    """End a drill on a signal as on Ctrl-C, so that its servers are stopped."""
    raise KeyboardInterrupt

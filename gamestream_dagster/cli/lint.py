"""`gamestream lint`: faults in the SQL of the jobs before it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
    from gamestream_dagster.flink_jobs.linter.lint import Report
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)

Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Job folders, scripts, or folders of either; default: the project's own jobs."),
]
Gateway = Annotated[str | None, typer.Option("--gateway", help="Address of a SQL gateway for the planner rules.")]
NoPlanner = Annotated[bool, typer.Option("--no-planner", help="Only the rules that need no Flink.")]

_FIRST_ANSWER_SECONDS = 3.0
_WIDTH_IN_A_PIPE = 400  # one finding per line, for grep and CI logs


def register(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command(rich_help_panel=panels.QUALITY)(lint)


def lint(
    paths: Paths = None,
    *,
    gateway: Gateway = None,
    no_planner: NoPlanner = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Find faults in Flink SQL: in its text, and in the plan that Flink makes of it. docs/lint.md lists the rules.

    Exit code 0: nothing found; 1: findings; 2: could not run.
    """
    from gamestream_dagster.flink_jobs.linter.lint import lint as run
    from gamestream_dagster.flink_jobs.linter.source import units_of

    if gateway and no_planner:
        raise CouldNotRun("--gateway and --no-planner exclude each other; leave one out")
    with as_could_not_run():
        client = None if no_planner else _gateway(gateway, settings_from(home, port_base))
    try:
        with as_could_not_run():
            report = run(units_of(paths or [FLINK_SQL_DIR]), client)
    finally:
        if client is not None:
            client.close()
    _print(report, as_json)
    raise typer.Exit(1 if report.findings else 0)


def _gateway(asked: str | None, settings: Settings) -> SqlGateway | None:
    """The gateway to ask: the named one, which must answer, else the stack's, if it is up."""
    from gamestream_dagster.clients.errors import ServiceError
    from gamestream_dagster.clients.flink_sql_gateway import SqlGateway

    url = asked or settings.flink_gateway
    probe = SqlGateway(url, timeout_seconds=_FIRST_ANSWER_SECONDS)
    try:
        probe.version()
    except ServiceError:
        if asked:
            raise
        return None
    finally:
        probe.close()
    return SqlGateway(url)


def _print(report: Report, as_json: bool) -> None:
    rows = [
        {"file": _short(one.file), "line": one.line, "code": one.code, "severity": one.severity, "message": one.message}
        for one in report.findings
    ]
    if as_json:
        typer.echo(json.dumps({"findings": rows, "planner": report.plans is not None, "plans": report.plans}, indent=2))
    elif rows:
        table = Table("FILE", "LINE", "CODE", "SEVERITY", "MESSAGE", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*map(str, row.values()))
        width = None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE
        PlainConsole(width=width).print(table)
    errors = sum(row["severity"] == "error" for row in rows)
    talk.print(f"{errors} errors, {len(rows) - errors} warnings; docs/lint.md explains the rules and their fixes")
    if report.plans is None:
        talk.print(
            "The planner rules did NOT run: no SQL gateway. "
            "`gamestream up --only flink` starts one, --gateway names one.",
            soft_wrap=True,
        )
    else:
        talk.print(f"The planner was asked for {report.plans} plans.")


def _short(file: str) -> str:
    """Relative to the working directory, if it is below."""
    path, here = Path(file).resolve(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file

"""`gamestream up`, `down`, `status`, `doctor`, `logs`: the embedded servers."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole, styled
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.logs import LogsCommand
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, Yes, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table
from gamestream_dagster.clients.dagster_daemons import second_daemon_told

if TYPE_CHECKING:
    from gamestream_dagster.platform.service import Progress, ProgressState, ServiceStatus
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)
data = PlainConsole()

Only = Annotated[
    str | None, typer.Option("--only", help="Comma-separated services or groups; their dependencies start too.")
]
Purge = Annotated[bool, typer.Option("--purge", help="Delete the home as well: all data, logs, checkpoints.")]
Kill = Annotated[bool, typer.Option("--kill", help="Do not stop the jobs with a savepoint first.")]
Jobs = Annotated[bool, typer.Option("--jobs/--no-jobs", help="Resume the jobs that stopped with the stack.")]
Service = Annotated[str, typer.Argument(help="Name of the server, as `gamestream status` shows it.")]
Lines = Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of last lines to show.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until every started server is healthy.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.0, help="Limit of --wait, seconds.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Keep showing new lines until interrupted.")]

UNSETTLED = ("FAILED", "UNREACHABLE", "STARTING")
WAIT_POLL_SECONDS = 0.5
PSQL_NO_CONNECTION = 2

STATE_STYLES = {
    "HEALTHY": "green",
    "EXTERNAL": "green",
    "OK": "green",
    "STARTING": "yellow",
    "WARN": "yellow",
    "STOPPED": "dim",
}


def register(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    for command in (up, down, status, doctor, logs, psql):
        app.command(rich_help_panel=panels.SERVERS, cls=LogsCommand if command is logs else None)(command)


def up(home: Home = None, port_base: PortBase = None, only: Only = None, jobs: Jobs = True) -> None:
    """Start the servers that are not running, wait until they are healthy, and resume the jobs that ran on them.

    Exit codes: 0 everything runs; 1 the servers run, but a job did not come back; 2 a server did not start.
    """
    from gamestream_dagster.cli.stack_jobs import resume_after_up
    from gamestream_dagster.platform.stack import Stack

    settings = settings_from(home, port_base)
    names = [name.strip() for name in only.split(",") if name.strip()] if only else None
    began = time.monotonic()
    # An interrupt must not leave half a stack: Stack.up cleans up.
    signal.signal(signal.SIGTERM, _as_interrupt)
    with _platform_errors(), _progress_display() as progress:
        stack = Stack(settings, progress)
        started = stack.up(names)
        all_back = not jobs or resume_after_up(settings, stack, started, progress, _warn)
    if started:
        talk.print(
            styled(
                "Done. Started {} services in {} s; home {}\n"
                "Next: [bold]gamestream status[/]   |   stop with [bold]gamestream down[/]",
                len(started),
                f"{time.monotonic() - began:.1f}",
                settings.home,
            )
        )
    else:
        talk.print(styled("Already running: nothing to start.  Next: [bold]gamestream status[/]"))
    if sentence := second_daemon_told(settings):
        _warn(f"Mind: {sentence}")
    if not all_back:
        raise typer.Exit(1)


def down(
    home: Home = None, port_base: PortBase = None, purge: Purge = False, kill: Kill = False, yes: Yes = False
) -> None:
    """Stop the jobs with a savepoint, then all servers; the next `up` resumes the jobs from it."""
    from gamestream_dagster.cli.stack_jobs import stop_before_down
    from gamestream_dagster.platform.stack import Stack

    settings = settings_from(home, port_base)
    if purge and not yes and settings.home.exists():
        typer.confirm(f"Delete {settings.home} with all data, logs and checkpoints?", abort=True, err=True)
    with _platform_errors(), _progress_display() as progress:
        stack = Stack(settings, progress)
        if not (purge or kill):
            stop_before_down(settings, stack, progress, _warn)
        stopped = stack.down(purge)
    gone = f" {settings.home} is deleted." if purge else ""
    talk.print(f"Done. Stopped {len(stopped)} services.{gone}" if stopped else f"Nothing was running.{gone}")


def status(
    home: Home = None, port_base: PortBase = None, wait: Wait = False, timeout: Timeout = 120.0, as_json: AsJson = False
) -> None:
    """Show the state, process, port, memory, uptime and link of each server.

    Exit codes: 0 every started server is healthy; 1 one is starting, has failed or does not answer, or with
    --wait none runs; 2 the state could not be read. Servers that were never started or were stopped do not count.
    """
    settings = settings_from(home, port_base)
    with _platform_errors():
        rows = _settled(settings, timeout) if wait else _rows(settings)
    if as_json:
        data.print_json(json.dumps([asdict(row) for row in rows]))
    else:
        _print_status(rows)
    if sentence := second_daemon_told(settings):
        _warn(f"Mind: {sentence}")
    if any(row.state in UNSETTLED for row in rows):
        raise typer.Exit(1)
    if wait and not any(row.state in ("HEALTHY", "EXTERNAL") for row in rows):
        _warn("No server runs: start them with `gamestream up`.")
        raise typer.Exit(1)


def _rows(settings: Settings) -> list[ServiceStatus]:
    from gamestream_dagster.platform.stack import Stack

    return Stack(settings).status()


def _settled(settings: Settings, timeout: float) -> list[ServiceStatus]:
    """The state once every started server is healthy, or when the time is over."""
    deadline = time.monotonic() + timeout
    with talk.status("waiting for the servers") as shown:
        while True:
            rows = _rows(settings)
            waiting = [row.name for row in rows if row.state in UNSETTLED]
            running = any(row.state in ("HEALTHY", "EXTERNAL") for row in rows)
            if (running and not waiting) or time.monotonic() >= deadline:
                return rows
            shown.update(f"waiting for {', '.join(waiting) or 'the first server'}")
            time.sleep(WAIT_POLL_SECONDS)


def psql(
    home: Home = None,
    port_base: PortBase = None,
    command: Annotated[
        list[str] | None, typer.Option("--command", "-c", help="Run this SQL and exit; repeatable.")
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Read-only transactions: a guard against slips; SET undoes it."),
    ] = False,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="More options for psql, after `--`, such as `-- -At`.", metavar="-- [PSQL]"),
    ] = None,
) -> None:
    """Open the stack's Postgres in psql: the boards, the reconciliations, the deployments. The exit code is psql's."""
    import os
    import subprocess

    from gamestream_dagster.clients.postgres import libpq_variables
    from gamestream_dagster.platform.postgres import client_program

    settings = settings_from(home, port_base)
    with _platform_errors():
        program = client_program()
    options = "-c timezone=UTC" + (" -c default_transaction_read_only=on" if read_only else "")
    environment = {
        **os.environ,
        "PGHOST": settings.postgres_host,
        "PGPORT": str(settings.postgres_port or settings.port("postgres")),
        "PGUSER": settings.postgres_user,
        "PGPASSWORD": settings.postgres_password_value,
        "PGDATABASE": settings.postgres_database,
        "PGOPTIONS": options,
        "PGAPPNAME": "gamestream psql",
        "PGCONNECT_TIMEOUT": "5",
        "PGHOSTADDR": "",
        "PGTARGETSESSIONATTRS": "any",
    }
    given = [word for sql in command or () for word in ("-c", sql)]
    done = subprocess.run([str(program), *given, *(arguments or ())], env=environment, check=False)
    if done.returncode == PSQL_NO_CONNECTION:
        raise CouldNotRun(
            f"psql has no connection to {settings.postgres_host}:{environment['PGPORT']}{libpq_variables()}: it could "
            "not connect or was cut off, as it says above. If nothing listens there, start the servers with "
            "`gamestream up`, or check with `gamestream status`."
        )
    raise typer.Exit(done.returncode)


def doctor(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """Check the machine and the stack, and show every setting with its origin."""
    from gamestream_dagster.platform import doctor as examiner

    settings = settings_from(home, port_base)
    with _platform_errors():
        checks = examiner.examine(settings)
    rows = examiner.setting_rows(settings)
    if as_json:
        data.print_json(json.dumps({"checks": [asdict(c) for c in checks], "settings": [asdict(r) for r in rows]}))
    else:
        _print_table(("CHECK", "STATUS", "DETAIL"), [(c.name, c.state, runnable(c.detail)) for c in checks])
        data.print()
        _print_table(("SETTING", "VALUE", "FROM"), [(r.name, r.value, r.origin) for r in rows])
    passed, warned, failed = (sum(check.state == state for check in checks) for state in ("OK", "WARN", "FAIL"))
    talk.print(f"Done. PASS={passed} WARN={warned} ERROR={failed} TOTAL={len(checks)}")
    if failed:
        raise typer.Exit(1)


def logs(service: Service, home: Home = None, lines: Lines = 50, follow: Follow = False) -> None:
    """Show the end of a server's log. `logs ship` and `logs rules` are about the logs of other machines."""
    from gamestream_dagster.platform import catalogue, layout
    from gamestream_dagster.platform.stack import last_lines

    settings = settings_from(home)
    known = [*catalogue.services(), "supervisor"]
    if service not in known:
        raise CouldNotRun(f"There is no service {service!r}; choose from {', '.join(known)}.")
    path = layout.log_file(settings, service)
    if not path.exists():
        raise CouldNotRun(f"{service} has no log in {settings.home} yet; start it with `gamestream up`.")
    for line in last_lines(settings, service, lines):
        typer.echo(line)
    if follow:
        _follow(path)


def _follow(path: Path) -> None:
    position = path.stat().st_size
    try:
        while True:
            size = path.stat().st_size if path.exists() else 0
            if size < position:  # rotated
                position = 0
            if size > position:
                with path.open(encoding="utf-8", errors="replace") as file:
                    file.seek(position)
                    typer.echo(file.read(1 << 20), nl=False)
                    position = file.tell()
                continue
            time.sleep(0.3)
    except KeyboardInterrupt:
        return


def _print_status(rows: list[ServiceStatus]) -> None:
    cells = [
        (
            row.name,
            row.state,
            str(row.pid or "-"),
            str(row.port or "-"),
            f"{row.resident_bytes / 2**20:.0f} MiB" if row.resident_bytes else "-",
            _duration(row.uptime_seconds),
            row.link + (f"  ({row.detail})" if row.detail else ""),
        )
        for row in rows
    ]
    _print_table(("SERVICE", "STATUS", "PID", "PORT", "MEMORY", "UPTIME", "LINK"), cells)
    resident = sum(row.resident_bytes or 0 for row in rows)
    running = sum(row.pid is not None for row in rows)
    talk.print(f"{running} of {len(rows)} services run, {resident / 2**20:.0f} MiB resident.")


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose second column is a state."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            *(
                Text(cell, STATE_STYLES.get(row[1], "red") if at == 1 and head[1] == "STATUS" else "")
                for at, cell in enumerate(row)
            )
        )
    print_table(table)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _warn(sentence: str) -> None:
    talk.print(sentence, style="yellow", soft_wrap=True)


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _platform_errors() -> Iterator[None]:
    try:
        with as_could_not_run():
            yield
    except OSError as error:  # a full disk, a read-only home
        raise CouldNotRun(f"{error}; check free disk space and the ownership of home and cache.") from error


@contextmanager
def _progress_display() -> Iterator[Progress]:
    """One line per service on a terminal; elsewhere (CI, a pipe) one plain line when a service is ready."""
    from rich import progress as bars

    settled = ("healthy", "external", "skipped", "stopped", "not done")
    if not talk.is_terminal:

        def tell(name: str, state: ProgressState, detail: str) -> None:
            if state in settled or (name == "jars" and _all_done(detail)):
                talk.print(f"{name:<20} {state} {detail}".rstrip(), soft_wrap=True)

        yield tell
        return
    columns = (
        bars.SpinnerColumn(finished_text="[green]✓[/]"),
        bars.TextColumn("{task.fields[service]:<20}", markup=False),
        bars.TextColumn("{task.description}", markup=False),
        bars.TimeElapsedColumn(),
    )
    lock = threading.Lock()
    with bars.Progress(*columns, console=talk) as display:
        tasks: dict[str, bars.TaskID] = {}

        def show(name: str, state: ProgressState, detail: str) -> None:
            with lock:
                if name not in tasks:
                    tasks[name] = display.add_task("", total=1, service=name)
            done = state in settled or (name == "jars" and _all_done(detail))
            display.update(tasks[name], description=f"{state} {detail}".strip(), completed=int(done))

        yield show


def _all_done(detail: str) -> bool:
    done, _, total = detail.partition(" of ")
    return done == total

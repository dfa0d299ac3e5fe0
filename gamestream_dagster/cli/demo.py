"""`gamestream demo`: from nothing to four proven boards and a settled week, on the real stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gamestream_dagster.cli import demo_days, panels, platform, reconcile
from gamestream_dagster.cli.console import PlainConsole, styled
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.clients.dagster_graphql import DagsterGraphQL, RunOutcome
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)
data = PlainConsole()

# The crowd's last two minutes of play, sent at once: few enough points for the real players to stay on the board.
CROWD_SECONDS = 120
CROWD_RATE = 150
CROWD = {"seed": 2015, "late": 3.0, "dup": 2.0, "bad": 2.0, "teams": 40, "max_score": 8}
RUN_LIMIT_SECONDS = 240
READ_LIMIT_SECONDS = 120


def register(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("demo", rich_help_panel=panels.SERVERS)(demo)


def demo(
    home: Home = None,
    port_base: PortBase = None,
    crowd: Annotated[bool, typer.Option(help="Simulate a crowd beside the real scores.")] = True,
) -> None:
    """Start everything, replay real NBA scores, have a crowd play over HTTP, prove the four boards, settle a week."""
    began = time.monotonic()
    platform.up(home, port_base, jobs=False)  # the step `deploy` brings them back
    settings = settings_from(home, port_base)
    with as_could_not_run():
        _run_demo(settings, crowd)
    _show_end(settings, time.monotonic() - began)


def _run_demo(settings: Settings, crowd: bool) -> None:
    from gamestream_dagster.clients.dagster_graphql import DagsterGraphQL

    with DagsterGraphQL(settings.dagster_url) as dagster:
        _run_job(dagster, "provision", "topics, registry subjects and tables")
        _send_events(settings, crowd)
        _run_job(dagster, "deploy", "the Flink SQL jobs")
        _settle(settings)
        with _step("Flink reads the topics to their ends"):
            wait_until_read(settings)
        _run_job(dagster, "archive_and_reconcile", "archive, recompute, compare, Great Expectations")


def _run_job(dagster: DagsterGraphQL, job: str, what: str) -> None:
    with _step(f"Dagster job {job}: {what}") as note:

        def show(outcome: RunOutcome) -> None:
            note(outcome.status.value.lower())

        outcome = dagster.wait(dagster.launch(job, {"gamestream/from": "demo"}), RUN_LIMIT_SECONDS, show)
    if not outcome.succeeded:
        reasons = "; ".join(f"{failure.step}: {failure.reason}" for failure in outcome.failures)
        raise CouldNotRun(f"The Dagster job {job} did not succeed: {reasons or outcome.status.value}.")


def _send_events(settings: Settings, crowd: bool) -> None:
    from gamestream_dagster.events.feed import replay_into

    if _already_sent(settings):
        talk.print(styled("[green]✓[/] the topic holds events of an earlier demo: none are sent again"))
        return
    with _step("replay 13,874 real NBA shots of 2014-15") as note:
        shots = replay_into(settings, "nba", on_progress=lambda done, size: note(f"{done:,} of {size:,} bytes"))
        note(f"{shots.sent:,} sent")
    if crowd:
        _play(settings)


def _play(settings: Settings) -> None:
    from gamestream_dagster.cli.events_output import answer_lines
    from gamestream_dagster.cli.keys import key_for_now
    from gamestream_dagster.events.feed import simulate_over_http
    from gamestream_dagster.events.simulator import SimulatorOptions

    with _step("a crowd plays over HTTP: 3 % late, 2 % twice, 2 % bad") as note, key_for_now(settings, "demo") as key:
        start = datetime.now(UTC) - timedelta(seconds=CROWD_SECONDS)
        options = SimulatorOptions(
            start_ms=int(start.timestamp() * 1000), rate=CROWD_RATE, duration=CROWD_SECONDS, **CROWD
        )
        truth = settings.home / "truth" / "demo.parquet"
        played = simulate_over_http(
            settings.ingest_url,
            key,
            options,
            truth=truth,
            paced=False,
            on_progress=lambda result: note(f"{result.sent:,} sent"),
        )
        note(f"{played.sent:,} sent, truth in {truth}")
    for line in answer_lines(played.answers):
        talk.print(styled("  [dim]{}[/]", line), soft_wrap=True)


def _settle(settings: Settings) -> None:
    with _step(f"{demo_days.DAYS} days of {demo_days.PLAYERS} simulated players, into the archive's history") as note:
        added = demo_days.live_a_week(settings)
        note(f"{added:,} events" if added else "there are older events")
    if added:
        with _step("settle these days: DuckDB over the archive, checks, Postgres") as note:
            demo_days.settle_the_week(settings, note)


def _already_sent(settings: Settings) -> bool:
    from gamestream_dagster.catalogue.sources import score_source
    from gamestream_dagster.clients.kafka_admin import KafkaAdmin

    return any(KafkaAdmin(settings.kafka).end_offsets(score_source(settings).topic).values())


def wait_until_read(settings: Settings, limit_seconds: float = READ_LIMIT_SECONDS) -> None:
    """Until every job has committed what its topics hold: with a checkpoint, which also flushes the sinks."""
    from gamestream_dagster.clients.kafka_admin import KafkaAdmin
    from gamestream_dagster.flink_jobs.observe.caught_up import CatchingUp, records_of
    from gamestream_dagster.flink_jobs.spec.catalogue import default_jobs, load_jobs

    specs = default_jobs(load_jobs(season=settings.season, ranks=settings.ranks))
    jobs = CatchingUp(KafkaAdmin(settings.kafka), records_of(settings.kafka), specs)
    deadline = time.monotonic() + limit_seconds
    while left := jobs.left():
        if time.monotonic() > deadline:
            job, topic = left[0]
            raise CouldNotRun(
                f"{job} has not read {topic} to its end within {limit_seconds:.0f} s. "
                f"Look at it with: gamestream jobs show {job}"
            )
        time.sleep(0.5)


def _show_end(settings: Settings, seconds: float) -> None:
    from gamestream_dagster.catalogue.boards import load_boards
    from gamestream_dagster.clients.postgres import open_engine
    from gamestream_dagster.reconciliation.observe.sinks import read_tables, visible
    from gamestream_dagster.reconciliation.results.store import last_runs

    boards = load_boards(season=settings.season, ranks=settings.ranks)
    boards = {name: board for name, board in boards.items() if board.ranked}
    with open_engine(settings) as engine:
        rows = read_tables(engine, list(boards.values()))
        last = last_runs(engine, 1)[-1]
    for name, board in boards.items():
        data.print()
        reconcile.show_board(board, visible(board, rows[name]))
    data.print()
    demo_days.show_newest_day(settings)
    data.print()
    style = "bold green" if last.verdict == "MATCH" else "bold red"
    data.print(
        styled(
            f"[{style}]{{}}[/]   {last.rows_compared} rows compared with an independent recompute, "
            f"{last.rows_different} differ",
            last.verdict,
        )
    )
    links = {
        "Dagster": settings.dagster_url,
        "Dashboard": settings.dashboard_url,
        "Flink": settings.flink_rest,
        "Report": settings.report_url(last.report_path) if last.report_path else "none was written",
        "Data Docs": settings.report_url(settings.reports_dir / "data_docs" / "index.html"),
    }
    for name, link in links.items():
        data.print(f"{name:<10} {link}", soft_wrap=True)
    talk.print(
        styled(
            f"\nDone in {seconds:.0f} s. Everything runs on.\n"
            "Next: [bold]gamestream simulate --rate 200[/]  (watch the dashboard)   |   "
            "[bold]gamestream reconcile[/]   |   stop with [bold]gamestream down[/]   |   "
            "delete everything with [bold]gamestream down --purge[/]"
        )
    )
    if last.verdict not in ("MATCH", "EXPLAINED"):
        raise typer.Exit(1)


@contextmanager
def _step(what: str) -> Iterator[Callable[[str], None]]:
    """One line for each step: a spinner while it goes on, a tick and its seconds when it is done."""
    began = time.monotonic()
    notes = [""]

    with talk.status(what) as status:

        def note(text: str) -> None:
            notes[0] = text
            status.update(styled("{}  [dim]{}[/]", what, text))

        yield note
    line = styled("[green]✓[/] {}  [dim]{}[/]  {} s", what, notes[0], f"{time.monotonic() - began:.1f}")
    talk.print(line, soft_wrap=True)

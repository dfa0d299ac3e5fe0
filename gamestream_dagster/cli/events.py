"""`gamestream simulate` and `gamestream replay`: events into Kafka, or over the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.events_output import print_replay, print_simulation
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.progress import line_teller, progress
from gamestream_dagster.cli.simulated import refuse_options_before

if TYPE_CHECKING:
    from gamestream_dagster.events.replay import ReplayResult, Wait
    from gamestream_dagster.events.simulation import SimulationResult
    from gamestream_dagster.events.simulator import SimulatorOptions
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)


class Via(StrEnum):
    """How the simulator sends."""

    KAFKA = "kafka"
    HTTP = "http"


Topic = Annotated[
    str | None, typer.Option("--topic", help="Another topic than that of topics.yaml.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    from gamestream_dagster.cli.logs import simulate_logs
    from gamestream_dagster.cli.transactions import transactions

    simulating = typer.Typer(invoke_without_command=True)
    simulating.callback()(simulate)
    simulating.command("transactions")(transactions)
    simulating.command("logs")(simulate_logs)
    app.add_typer(simulating, name="simulate", rich_help_panel=panels.EVENTS)
    app.command("replay", rich_help_panel=panels.EVENTS)(replay)


def simulate(  # noqa: PLR0917 - Typer reads the options from the signature
    context: typer.Context,
    days: Annotated[
        int | None,
        typer.Option(
            help="Whole lives of players for so many days, into the history of the archive (docs/simulator.md).",
            show_default=False,
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="With --days: then go on live, into game-events-raw, for --duration seconds.")
    ] = False,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions",
            help="Game events of 1,000 players in NA, EU and ASIA who join, buy and defeat enemies, one every 100 ms.",
        ),
    ] = False,
    abuse: Annotated[
        bool,
        typer.Option("--abuse", help="Game events with labelled abuse of each kind and near misses (docs/abuse.md)."),
    ] = False,
    rate: Annotated[float, typer.Option(help="Events per second, on average.")] = 100.0,
    events: Annotated[int | None, typer.Option(help="Stop after so many events.", show_default=False)] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after so many seconds.", show_default=False)] = None,
    late: Annotated[float, typer.Option(help="Per cent late by 5 to 10 minutes.")] = 0.0,
    dup: Annotated[float, typer.Option(help="Per cent repeated with the same event_id.")] = 0.0,
    bad: Annotated[float, typer.Option(help="Per cent refused, each kind in turn.")] = 0.0,
    skew: Annotated[float, typer.Option(help="Per cent from a clock up to 3 seconds wrong.")] = 0.0,
    burst: Annotated[float, typer.Option(help="Factor on the rate for 5 s in each minute.")] = 1.0,
    teams: Annotated[int, typer.Option(help="Teams alive at a time, of 5 to 15 members.")] = 15,
    players: Annotated[int | None, typer.Option(help="Players at a time, up to 200,000.", show_default=False)] = None,
    team_minutes: Annotated[float, typer.Option(help="A team lives between this and twice this.")] = 20.0,
    zipf: Annotated[float, typer.Option(help="Exponent of the players' activity; 0: all alike.")] = 0.0,
    max_score: Annotated[int, typer.Option(help="Greatest score of one event.")] = 20,
    dup_after: Annotated[float, typer.Option(help="Minutes at least between an event and its repetition.")] = 0.0,
    dup_within: Annotated[
        float, typer.Option(help="Minutes at most between them; the usual retry comes within 3 s.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same bytes.")] = 1,
    start: Annotated[
        str | None, typer.Option(help="Event time of the beginning (ISO, UTC); default: now.", show_default=False)
    ] = None,
    as_fast_as_possible: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="Do not wait until an event is due.")
    ] = False,
    truth: Annotated[
        Path | None, typer.Option(help="Parquet file of what was sent (default under the home).", show_default=False)
    ] = None,
    no_truth: Annotated[bool, typer.Option("--no-truth", help="Do not write it.")] = False,
    via: Annotated[
        Via,
        typer.Option(
            help="kafka: score events into the topic. http: game events of several types to the HTTP API; late is "
            "there by 15 to 20 minutes."
        ),
    ] = Via.KAFKA,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="GAMESTREAM_INGEST_KEY",
            help="With --via http: a key of the API; default: one for this run alone.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="With --via http: another API than the stack's own.", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option(help="With --via http: events in one request at most.", min=1, max=500)] = 500,
    topic: Topic = None,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Send the events of a simulated crowd, and write the truth about them beside the stream.

    With --days: game events of whole lives, straight into the archive. With --regions: game events of a simple game.
    With --abuse: labelled abuse among honest players.
    """
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    given = dict(locals())
    settings = settings_from(home, port_base)
    if days is not None:
        from gamestream_dagster.cli.backfill import simulate_days

        simulate_days(context, settings, given)
        return
    if regions:
        from gamestream_dagster.cli.regions import simulate_regions

        simulate_regions(context, settings, given, start_millis(start))
        return
    if abuse:
        from gamestream_dagster.cli.abuse import simulate_abuse

        simulate_abuse(context, settings, given, start_millis(start))
        return
    options = _options(given, start_millis(start))
    if no_truth and truth:
        raise CouldNotRun("--truth and --no-truth exclude each other; give one of them.")
    path = None if no_truth else truth or settings.home / "truth" / f"{options.start_ms}-{seed}.parquet"
    paced = not as_fast_as_possible
    if via is Via.HTTP:
        if topic is not None:
            raise CouldNotRun("--topic is for --via kafka: the HTTP API writes to game-events-raw alone. Leave it out.")
        result = _simulate_over_http(settings, options, path, key=key, url=url, batch=batch, paced=paced)
    else:
        result = _simulate(settings, options, path, topic, paced=paced)
    print_simulation(result, as_json)
    if result.interrupted:
        raise typer.Exit(130)


def replay(  # noqa: PLR0917 - Typer reads the options from the signature
    file: Annotated[str, typer.Argument(help="CSV, JSON lines (also .gz) or Parquet; or `nba`, the bundled sample.")],
    speed: Annotated[
        float | None, typer.Option(help="How much faster than event time, such as 60.", show_default=False, min=1e-6)
    ] = None,
    as_fast_as_possible: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="Do not wait (the default without --speed).")
    ] = False,
    max_wait: Annotated[
        float, typer.Option(help="With --speed: seconds that a gap between two events is waited for at most.", min=0)
    ] = 60.0,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="COLUMN=FIELD, such as player=user_id; once for each column.", show_default=False),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="File for bad lines (default under the home).", show_default=False)
    ] = None,
    topic: Topic = None,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Send the score events of a file. Bad lines are counted, shown and written aside; exit code 1 if there are any."""
    if speed is not None and as_fast_as_possible:
        raise CouldNotRun("--speed and --as-fast-as-possible exclude each other; give one of them.")
    settings = settings_from(home, port_base)
    result = _replay(settings, file, topic, speed=speed, longest_wait=max_wait, columns=columns or [], rejects=rejects)
    print_replay(result, as_json)
    if result.interrupted:
        raise typer.Exit(130)
    if result.bad:
        raise typer.Exit(1)


def _options(given: dict[str, Any], start_ms: int) -> SimulatorOptions:
    from pydantic import ValidationError

    from gamestream_dagster.events.simulator import SimulatorOptions

    known = {name: value for name, value in given.items() if name in SimulatorOptions.model_fields}
    try:
        return SimulatorOptions(start_ms=start_ms, **known)
    except ValidationError as error:
        first = error.errors()[0]
        name = " ".join(f"--{str(part).replace('_', '-')}" for part in first["loc"])
        raise CouldNotRun(f"{name or 'The options'}: {first['msg']}.") from error


def start_millis(text: str | None) -> int:
    """The time that `--start` gives, milliseconds since 1970; now without one."""
    if text is None:
        return int(time.time() * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CouldNotRun(f"--start {text!r} is not a time; write it as 2026-01-31T12:00:00.") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment.timestamp() < 0:
        raise CouldNotRun("--start is before 1970; events of that time are refused. Give a later time.")
    return int(moment.timestamp() * 1000)


def _simulate(
    settings: Settings, options: SimulatorOptions, truth: Path | None, topic: str | None, *, paced: bool
) -> SimulationResult:
    from gamestream_dagster.events.feed import simulate_into

    with as_could_not_run(), progress(talk, options.events, "events") as advance:
        return simulate_into(
            settings,
            options,
            truth=truth,
            paced=paced,
            topic=topic,
            on_progress=lambda result: advance(result.sent, options.events),
        )


def _simulate_over_http(
    settings: Settings,
    options: SimulatorOptions,
    truth: Path | None,
    *,
    key: str | None,
    url: str | None,
    batch: int,
    paced: bool,
) -> SimulationResult:
    from gamestream_dagster.cli.keys import key_for_now
    from gamestream_dagster.events.feed import simulate_over_http

    if url is not None and key is None:
        raise CouldNotRun("--url needs a key of that API; give it with --key, or in GAMESTREAM_INGEST_KEY.")
    with (
        as_could_not_run(),
        progress(talk, options.events, "events") as advance,
        nullcontext(key) if key else key_for_now(settings, "simulator") as token,
    ):
        return simulate_over_http(
            url or settings.ingest_url,
            token,
            options,
            truth=truth,
            paced=paced,
            batch=batch,
            on_progress=lambda result: advance(result.sent, options.events),
            on_wait=_tell_pauses(),
        )


def _tell_pauses() -> Callable[[float, str], None]:
    """Tells why events have to be sent again: each reason once, until it changes."""
    told = ""

    def tell(seconds: float, why: str) -> None:
        nonlocal told
        if why != told:
            talk.print(
                f"waiting {seconds:.1f} s, then the events are sent again: {why}", style="yellow", soft_wrap=True
            )
        told = why

    return tell


def _replay(
    settings: Settings,
    file: str,
    topic: str | None,
    *,
    speed: float | None,
    longest_wait: float,
    columns: list[str],
    rejects: Path | None,
) -> ReplayResult:
    from gamestream_dagster.events.feed import replay_into
    from gamestream_dagster.events.readers import renames_of

    tell = line_teller(talk, "bad")
    with as_could_not_run(), progress(talk, None, file) as advance:
        return replay_into(
            settings,
            file,
            speed=speed,
            longest_wait=longest_wait,
            renames=renames_of(columns),
            rejects=rejects,
            topic=topic,
            on_progress=advance,
            on_bad=lambda bad: tell(bad.number, f"{bad.reason}: {bad.detail}"),
            on_wait=_tell_wait,
        )


def _tell_wait(wait: Wait) -> None:
    cut = ""
    if wait.wanted_seconds > wait.seconds:
        cut = (
            f" in place of {_duration(wait.wanted_seconds)} by its event time; longer gaps are cut (--max-wait), see "
            "whether all times of the file are in milliseconds"
        )
    talk.print(f"line {wait.number}: waiting {_duration(wait.seconds)}{cut}", style="yellow", soft_wrap=True)


def _duration(seconds: float) -> str:
    for name, length in (("years", 365 * 86400), ("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {name}"
    return f"{seconds:.0f} s"

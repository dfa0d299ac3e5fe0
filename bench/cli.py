"""`gamestream bench`: measure this machine, contestants side by side."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun

if TYPE_CHECKING:
    from bench.results import Result
    from bench.suite import Choices

talk = Talk(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command(rich_help_panel=panels.QUALITY)(bench)


def bench(  # noqa: PLR0917 - Typer reads the options from the signature
    measure: Annotated[
        str,
        typer.Argument(
            help="streaming, latency, recompute, proof, archive, peers, produce, recovery, state, charts or all."
        ),
    ] = "all",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count, after one that is thrown away.")] = 5,
    events: Annotated[
        int | None, typer.Option(min=1000, help="Events of each contestant; default by measure.", show_default=False)
    ] = None,
    players: Annotated[
        list[int] | None,
        typer.Option(help="Numbers of players, the main one first; repeat it.", show_default="20000 1000 200000"),
    ] = None,
    rate: Annotated[
        list[int] | None, typer.Option(help="latency: events a second; repeat it.", show_default="1000 5000 20000")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="latency: seconds at each rate and round.")] = 5.0,
    zipf: Annotated[float, typer.Option(help="streaming: exponent of the skewed players' activity.")] = 1.1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 1,
    sweep: Annotated[bool, typer.Option(help="streaming: other numbers of players, Avro and skew too.")] = True,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of the first demo's SQL scripts; absent: it is left out.")
    ] = None,
    reference_events: Annotated[int, typer.Option(min=1000, help="How many events the first demo reads.")] = 50_000,
    quixstreams_python: Annotated[
        Path | None, typer.Option(help="peers: a Python with quixstreams; absent: it is left out.")
    ] = None,
    stack: Annotated[
        Path | None,
        typer.Option(
            help="Home of a running stack to measure. Its boards are OVERWRITTEN, and `state` ends its "
            "TaskManager before each case. Default: one of its own."
        ),
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder for results; default bench/results.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure side by side on this machine, in one run, in turn; results go to bench/results.

    The machine should do nothing else meanwhile. docs/performance.md tells of what was measured.
    """
    from bench.suite import Choices

    choices = Choices(
        rounds=rounds,
        events=events,
        players=tuple(players or (20_000, 1_000, 200_000)),
        rates=tuple(rate or (1_000, 5_000, 20_000)),
        seconds=seconds,
        zipf=zipf,
        seed=seed,
        sweep=sweep,
        reference=reference,
        reference_events=reference_events,
        quixstreams_python=quixstreams_python,
        stack=stack,
    )
    # a stack of its own must not outlive a run that is ended from outside
    signal.signal(signal.SIGTERM, _as_interrupt)
    found = _run(measure, choices, results)
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in found], indent=2, default=str))
    else:
        for one in found:
            PlainConsole().print(Markdown(one.markdown()))


def _run(measure: str, choices: Choices, folder: Path | None) -> list[Result]:
    from bench import suite
    from bench.results import BenchError, results_folder
    from gamestream_dagster.clients.errors import ServiceError
    from gamestream_dagster.flink_jobs.errors import FlinkJobError
    from gamestream_dagster.platform.errors import PlatformError

    target = results_folder(folder)
    try:
        if measure == "charts":
            _tell_charts(target)
            return []
        return suite.run(measure, choices, target, _say)
    except (BenchError, FlinkJobError, ServiceError, PlatformError) as error:
        raise CouldNotRun(str(error)) from error


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _tell_charts(folder: Path) -> None:
    from bench.charts import draw_all
    from bench.pages import write_page

    docs = folder.parent.parent / "docs"
    for path in draw_all(folder, docs / "images"):
        talk.print(f"chart: {path}", soft_wrap=True)
    told = write_page(docs / "performance.md", folder)
    talk.print(f"page: {docs / 'performance.md'} tells of {', '.join(told)}", soft_wrap=True)


def _say(text: str) -> None:
    talk.print(text, soft_wrap=True)

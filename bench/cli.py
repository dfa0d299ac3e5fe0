"""The command `gamestream bench`."""

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
from gamestream_dagster.cli.options import AsJson, as_could_not_run

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
            help="streaming, latency, intake, recompute, proof, settle, ranks, archive, peers, produce, recovery, "
            "state, transactions, security, charts, all."
        ),
    ] = "all",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds after a discarded warm-up.")] = 5,
    events: Annotated[
        int | None,
        typer.Option(min=1000, help="Events per contestant; the default depends on the measure.", show_default=False),
    ] = None,
    players: Annotated[
        list[int] | None,
        typer.Option(help="Numbers of players, the main one first; repeatable.", show_default="20000 1000 200000"),
    ] = None,
    rate: Annotated[
        list[int] | None, typer.Option(help="latency: events per second; repeatable.", show_default="1000 5000 20000")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="latency: seconds per rate and round.")] = 5.0,
    zipf: Annotated[float, typer.Option(help="streaming: exponent of the skewed players' activity.")] = 1.1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 1,
    sweep: Annotated[bool, typer.Option(help="streaming: also other numbers of players, Avro and skew.")] = True,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of the first demo's SQL scripts; without it the first demo is skipped.")
    ] = None,
    reference_events: Annotated[int, typer.Option(min=1000, help="Events that the first demo reads.")] = 50_000,
    quixstreams_python: Annotated[
        Path | None, typer.Option(help="peers: a Python with quixstreams; without it quixstreams is skipped.")
    ] = None,
    stack: Annotated[
        Path | None,
        typer.Option(
            help="Home of a running stack to measure. The run OVERWRITES its boards, and `state` kills its "
            "TaskManager before each case. Default: a temporary stack."
        ),
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder for results; default bench/results.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure contestants in turn on this machine; results go to bench/results.

    Run nothing else on the machine meanwhile. docs/performance.md reports the results.
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
    # the temporary stack must not outlive a terminated run
    signal.signal(signal.SIGTERM, _as_interrupt)
    found = _run(measure, choices, results)
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in found], indent=2, default=str))
    else:
        for one in found:
            PlainConsole().print(Markdown(one.markdown()))


def _run(measure: str, choices: Choices, folder: Path | None) -> list[Result]:
    from bench import suite
    from bench.results import results_folder

    target = results_folder(folder)
    with as_could_not_run():
        if measure == "charts":
            _write_charts(target)
            return []
        return suite.run(measure, choices, target, _say)


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _write_charts(folder: Path) -> None:
    from bench.charts import draw_all
    from bench.summary import write_summary

    docs = folder.parent.parent / "docs"
    for path in draw_all(folder, docs / "images"):
        talk.print(f"chart: {path}", soft_wrap=True)
    runs = write_summary(docs / "performance.md", folder)
    talk.print(f"page: {docs / 'performance.md'}, from {', '.join(runs)}", soft_wrap=True)


def _say(text: str) -> None:
    talk.print(text, soft_wrap=True)

"""`gamestream backfill`: old game events into the archive; and `gamestream simulate --days`, which makes some."""

from __future__ import annotations

import getpass
import json
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.progress import line_teller, progress
from gamestream_dagster.cli.simulated import explicit
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gamestream_dagster.archive.backfill import BackfillResult
    from gamestream_dagster.archive.provenance import Backfilled
    from gamestream_dagster.archive.refused_lines import RefusedLine
    from gamestream_dagster.events.lives.options import LivesOptions
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)
PLAYERS: Final = 20_000
_WITH_DAYS: Final = {
    "days", "players", "seed", "start", "dup", "bad", "truth", "no_truth", "live", "home", "port_base", "as_json",
}  # fmt: skip
_WITH_LIVE: Final = {"duration", "topic"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backfill", rich_help_panel=panels.EVENTS)(backfill)


def backfill(  # noqa: PLR0917 - Typer reads the options from the signature
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(help="JSON lines or a JSON array, also packed by gzip or zstd; - for standard input."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="In place of a file: simulated lives of so many days.", show_default=False)
    ] = None,
    players: Annotated[int | None, typer.Option(help=f"With --days: players (default {PLAYERS:,}).")] = None,
    seed: Annotated[int, typer.Option(help="With --days: the same seed gives the same lives.")] = 1,
    start: Annotated[
        str | None, typer.Option(help="With --days: first UTC date; default: so many days before today.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who backfills, for the provenance; default: your user name.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="File for refused lines (default under the home).", show_default=False)
    ] = None,
    runs: Annotated[bool, typer.Option("--runs", help="List the earlier backfills.")] = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Add old game events to the archive, each once; settled metrics count them, live ones never do.

    No server need run. Exit code 1 if lines were refused.
    """
    settings = settings_from(home, port_base)
    if runs:
        _print_runs(settings, as_json=as_json)
        return
    if (file is None) == (days is None):
        raise CouldNotRun("Give either a file (- for standard input) or --days; --runs lists the earlier backfills.")
    if days is not None:
        options = _lives(days, players, seed, start)
        truth = settings.home / "truth" / options.name
        if _backfill_lives(settings, options, truth, _who(by), rejects, as_json=as_json):
            raise typer.Exit(1)
        return
    if given := explicit(context, {"players", "seed", "start"}):
        raise CouldNotRun(f"{given[0]} belongs to --days; leave it out with a file.")
    if _backfill_file(settings, file or "", _who(by), rejects, as_json=as_json):
        raise typer.Exit(1)


def simulate_days(context: typer.Context, settings: Settings, given: Mapping[str, Any]) -> None:
    """`gamestream simulate --days`."""
    others = explicit(context, given.keys() - _WITH_DAYS - (_WITH_LIVE if given["live"] else set()))
    if others:
        raise CouldNotRun(f"{others[0]} does not go with --days; whole lives have their own world (docs/simulator.md).")
    if given["no_truth"] and given["truth"]:
        raise CouldNotRun("--truth and --no-truth exclude each other; give one of them.")
    options = _lives(given["days"], given["players"], given["seed"], given["start"], dup=given["dup"], bad=given["bad"])
    truth = None if given["no_truth"] else given["truth"] or settings.home / "truth" / options.name
    refused = _backfill_lives(settings, options, truth, _who(None), None, as_json=given["as_json"])
    if given["live"]:
        _go_on_live(settings, options, given["duration"], given["topic"])
    if refused:
        raise typer.Exit(1)


def _go_on_live(settings: Settings, options: LivesOptions, seconds: float | None, topic: str | None) -> None:
    from gamestream_dagster.events.lives.live import go_on_live

    talk.print("Going on live; Ctrl-C ends it.")
    with as_could_not_run(), progress(talk, None, "events") as advance:
        result = go_on_live(
            settings, options, seconds=seconds, topic=topic, on_progress=lambda found: advance(found.sent, None)
        )
    stopped = "Stopped" if result.interrupted else "Done"
    talk.print(
        f"{stopped}. SENT={result.sent}  {result.seconds:.1f} s\nNext: gamestream topic tail game-events-enriched"
    )
    if result.interrupted:
        raise typer.Exit(130)


def _lives(
    days: int, players: int | None, seed: int, start: str | None, *, dup: float = 0.0, bad: float = 0.0
) -> LivesOptions:
    from pydantic import ValidationError

    from gamestream_dagster.events.lives.options import LivesOptions

    today = datetime.now(UTC).date()
    try:
        first = date.fromisoformat(start) if start else today - timedelta(days=max(0, min(days, 366)))
    except ValueError as error:
        raise CouldNotRun(f"--start {start!r} is not a date; write it as 2026-01-31.") from error
    try:
        count = PLAYERS if players is None else players
        options = LivesOptions(start=first, days=days, players=count, seed=seed, dup=dup, bad=bad)
    except ValidationError as error:
        found = error.errors()[0]
        name = f"--{found['loc'][0]}" if found["loc"] else "The options"
        raise CouldNotRun(f"{name}: {found['msg']}.") from error
    if first.year < 2001 or options.end > today:
        raise CouldNotRun(
            f"The lives of {first} to {options.end - timedelta(days=1)} are not history; let them end yesterday (UTC) "
            "at the latest, and begin in 2001 or later."
        )
    return options


def _who(given: str | None) -> str:
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "unknown"


def _backfill_file(settings: Settings, file: str, by: str, rejects: Path | None, *, as_json: bool) -> bool:
    """True if lines were refused."""
    from gamestream_dagster.archive.backfill import backfill as run
    from gamestream_dagster.archive.backfill_files import STANDARD_INPUT, file_to_backfill

    path = Path(file)
    size = path.stat().st_size if file != STANDARD_INPUT and path.is_file() else None
    aside = rejects or _rejects(settings, "standard-input" if file == STANDARD_INPUT else path.name.partition(".")[0])
    with as_could_not_run(), _nothing_added(), progress(talk, size, file) as advance:
        show = _refusals()
        with file_to_backfill(file, by=by, rejects=aside, on_bytes=lambda read: advance(read, size)) as origin:
            result = run(settings, origin, on_refused=show)
    _report(result, None, as_json=as_json)
    return bool(result.refused)


def _backfill_lives(
    settings: Settings, options: LivesOptions, truth: Path | None, by: str, rejects: Path | None, *, as_json: bool
) -> bool:
    """True if events were refused."""
    from gamestream_dagster.archive.backfill_lives import backfill_lives

    aside = rejects or _rejects(settings, options.name)
    with as_could_not_run(), _nothing_added(), progress(talk, options.days, "days") as advance:
        result = backfill_lives(
            settings,
            options,
            by=by,
            truth=truth,
            rejects=aside,
            on_day=lambda day: advance(day, options.days),
            on_refused=_refusals(),
        )
    _report(result, truth, as_json=as_json)
    return bool(result.refused)


def _rejects(settings: Settings, name: str) -> Path:
    return settings.home / "rejects" / f"{name or 'events'}-{int(time.time() * 1000)}.jsonl"


class _nothing_added:  # noqa: N801 - reads as a sentence
    """Says after Ctrl-C what became of the run."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            talk.print("Nothing was added: a backfill counts as a whole. Run the command again.")


def _refusals() -> Callable[[RefusedLine], None]:
    tell = line_teller(talk, "refused")
    return lambda refused: tell(refused.line, f"{refused.reason}: {refused.detail}")


def _report(result: BackfillResult, truth: Path | None, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(_as_json(result, truth)) + "\n")
    same = result.same_as
    if same is not None:
        talk.print(
            f"Nothing to do: the same content was backfilled on {same.at} by {same.by} (run {same.run}, "
            f"{same.accepted:,} events).",
            soft_wrap=True,
        )
    else:
        reasons = "".join(f" {reason}={count}" for reason, count in result.refused.most_common())
        rate = f"{result.events / result.seconds:,.0f} events/s" if result.seconds else ""
        talk.print(
            f"Done. EVENTS={result.events} ACCEPTED={result.accepted} COPIES={result.copies} "
            f"REFUSED={result.refused.total()}{reasons}  {_span(result.days)}  {result.seconds:.1f} s, {rate}",
            soft_wrap=True,
        )
    if result.rejects:
        talk.print(f"rejects: {result.rejects}", soft_wrap=True)
    if truth is not None:
        talk.print(f"truth: {truth}", soft_wrap=True)
    if result.not_indexed is not None:
        talk.print(f"index: {result.not_indexed}", soft_wrap=True)
    talk.print("Next: gamestream backfill --runs")


def _as_json(result: BackfillResult, truth: Path | None) -> dict[str, Any]:
    counts = {"events": result.events, "accepted": result.accepted, "copies": result.copies}
    return {
        "run": result.run,
        **counts,
        "refused": dict(result.refused),
        "days": list(result.days),
        "files": result.files,
        "seconds": round(result.seconds, 3),
        "rejects": str(result.rejects) if result.rejects else None,
        "truth": str(truth) if truth else None,
        "already_backfilled": result.same_as is not None,
        "not_indexed": result.not_indexed,
    }


def _span(days: Sequence[str]) -> str:
    if not days:
        return "no days"
    return days[0] if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"


def _print_runs(settings: Settings, *, as_json: bool) -> None:
    from gamestream_dagster.archive.history import load_runs

    with as_could_not_run():
        found = load_runs(settings)
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json", exclude={"before", "kind"}) for one in found]))
        return
    if not found:
        talk.print("Nothing was backfilled yet: gamestream backfill FILE")
        return
    table = Table(
        "RUN",
        "AT",
        "BY",
        "WHAT",
        "EVENTS",
        "ACCEPTED",
        "COPIES",
        "REFUSED",
        "DAYS",
        "RULE",
        "SHA-256",
        box=None,
        pad_edge=False,
    )
    for one in found:
        table.add_row(*_row(one))
    print_table(table)


def _row(one: Backfilled) -> tuple[str, ...]:
    counts = (one.events, one.accepted, one.copies, sum(one.refused.values()))
    rule = f"{one.rules_version} ({one.rules[:8]})"
    return (one.run, one.at, one.by, one.name, *map(str, counts), _span(one.days), rule, one.sha256[:12])

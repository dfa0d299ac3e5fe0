"""`gamestream metrics`: the settled metrics: what there is, how a day came about, and settling a range of days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from gamestream_dagster.cli import metrics_output, panels
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.metrics.backfill import Backfill, Step

talk = Talk(stderr=True)
MOST_ROWS = 1_000
_CAUSES = 20

Day = Annotated[str | None, typer.Option("--day", help="A settled day: 2026-11-25.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Settled metrics: numbers of a day, from the archive.", no_args_is_help=True)
    group.command("list")(list_metrics)
    group.command("show")(show)
    group.command("backfill")(backfill)
    group.command("explain")(explain)
    app.add_typer(group, name="metrics", rich_help_panel=panels.PROOF)


def list_metrics(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """List the metrics, what each reads, and which days are settled."""
    from gamestream_dagster.catalogue.metrics import load_metrics
    from gamestream_dagster.metrics.store import open_store

    settings = settings_from(home, port_base)
    with as_could_not_run():
        metrics = load_metrics()
        with open_store(settings) as store:
            settled = store.newest(metrics)
    rows = metrics_output.summaries(metrics, settled)
    if as_json:
        typer.echo(json.dumps(rows, default=str))
        return
    metrics_output.print_summaries(rows)
    talk.print("Next: `gamestream metrics show METRIC`, or `gamestream metrics backfill --from DAY --to DAY`.")


def show(  # noqa: PLR0917 - one parameter an option
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="A metric of `gamestream metrics list`.")],
    day: Day = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, max=MOST_ROWS, help="Show at most so many.")] = 20,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Show a metric's definition and settled days; with --day the rows of that day, its versions and their causes."""
    from gamestream_dagster.catalogue.metrics import load_metrics, metric_named
    from gamestream_dagster.metrics.store import open_store

    settings = settings_from(home, port_base)
    with as_could_not_run():
        found = metric_named(metric, load_metrics())
        wanted = None if day is None else _day(day, "--day")
        with open_store(settings) as store:
            if wanted is None:
                told: dict[str, Any] = metrics_output.definition(found)
                told["settled"] = metrics_output.newest_days(store.newest([found.name]), limit)
            else:
                versions = store.history(found.name, wanted)
                if not versions:
                    raise CouldNotRun(
                        f"{found.name} of {wanted} is not settled; run `gamestream metrics backfill --from {wanted} "
                        f"--to {wanted}`."
                    )
                causes = {
                    one["settle_version"]: store.causes(found.name, wanted, one["settle_version"], _CAUSES)
                    for one in versions
                    if one["late_events"]
                }
                told = metrics_output.one_day(found, wanted, versions, causes)
                told["rows"] = store.rows(found, wanted, limit)
    if as_json:
        typer.echo(json.dumps(told, default=str))
    elif wanted is None:
        metrics_output.print_definition(told)
    else:
        metrics_output.print_day(told)


def backfill(  # noqa: PLR0917 - one parameter an option
    first: Annotated[str, typer.Option("--from", help="First day, UTC: 2026-11-01.")],
    last: Annotated[str, typer.Option("--to", help="Last day, UTC, included.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this one and what it reads; once for each.")
    ] = None,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Settle every metric of each day in a range, again where it was settled before.

    Equal rows keep their version; other rows replace the old ones at once, as the next version. With --json one object
    a step. Exit codes: 0 settled; 1 a check does not hold; 2 a day could not be settled.
    """
    from gamestream_dagster.catalogue.metrics import load_metrics, with_upstream
    from gamestream_dagster.metrics import backfill as filling
    from gamestream_dagster.metrics.settle import open_settler

    settings = settings_from(home, port_base)
    with as_could_not_run():
        begin, end = _day(first, "--from"), _day(last, "--to")
        if end < begin:
            raise CouldNotRun(f"--to {end} is before --from {begin}; swap them.")
        metrics = load_metrics()
        wanted = with_upstream(tuple(metric or ()), metrics)
        with open_settler(settings, metrics) as settler, _progress(as_json=as_json) as on_step:
            done = filling.backfill(settler, wanted, begin, end, on_step)
    if not as_json:
        _say_end(done)
    raise typer.Exit(2 if done.failed else 1 if done.broken else 0)


def explain(  # noqa: PLR0917 - one parameter an option
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="retention")],
    player: Annotated[str, typer.Option("--player", help="A player's user_id.")],
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="Of a PostHog project, such as Europe/Stockholm.")
    ] = "UTC",
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Show what Unity, PlayFab, Amplitude and PostHog say about one player's retention, and why they differ."""
    from gamestream_dagster.metrics.explain import explain_retention

    if metric != "retention":
        raise CouldNotRun(f"There is no explanation of {metric!r}; write `gamestream metrics explain retention`.")
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CouldNotRun(f"--time-zone {time_zone!r} is no time zone; write one such as Europe/Stockholm.") from None
    settings = settings_from(home, port_base)
    with as_could_not_run():
        found = explain_retention(settings, player, zone)
    if as_json:
        typer.echo(json.dumps(metrics_output.explained(found), default=str))
    else:
        metrics_output.print_explained(found)


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Any]:
    """A line for each step, and how far the backfill is."""
    done = 0
    with talk.status("opening the archive") as status:

        def on_step(step: Step, total: int) -> None:
            nonlocal done
            done += 1
            status.update(f"{done:,} of {total:,}: {step.day} {step.metric}")
            if as_json:
                typer.echo(json.dumps(metrics_output.step(step), default=str))
            else:
                metrics_output.print_step(step)

        yield on_step


def _say_end(done: Backfill) -> None:
    if done.before_first_event:
        talk.print(f"{done.before_first_event} days are before the first event of the archive and were left out.")
    talk.print(
        f"Done. SETTLED={len(done.steps) - done.failed} CHANGED={done.changed} CHECKS_FAILED={done.broken} "
        f"ERROR={done.failed} TOTAL={len(done.steps)}"
    )
    if not done.failed:
        talk.print('Next: `gamestream metrics list`, or `gamestream psql -c "SELECT * FROM active_users"`.')


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CouldNotRun(f"{option} {text!r} is not a day; write it as 2026-11-25.") from None

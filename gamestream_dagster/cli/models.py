"""`gamestream models`: the trained models: versions, cards, predictions."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.training.registry import Version

talk = Talk(stderr=True)
data = PlainConsole()
Sunday = Annotated[str | None, typer.Option("--sunday", help="A Sunday: 2026-11-22; default the newest one.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Models that are trained from settled metrics.", no_args_is_help=True)
    group.command("list")(list_versions)
    group.command("show")(show)
    group.command("train")(train)
    group.command("predict")(predict)
    app.add_typer(group, name="models", rich_help_panel=panels.PROOF)


def list_versions(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """List the versions of the difficulty model with their errors on the held-out week, and which one is in use."""
    from gamestream_dagster.training.registry import Registry

    registry = Registry(settings_from(home, port_base))
    with as_could_not_run():
        versions, current = registry.versions(), registry.current()
    used = None if current is None else current.card.sunday
    if as_json:
        typer.echo(json.dumps([asdict(one.card) | {"in_use": one.card.sunday == used} for one in versions]))
        return
    table = Table(box=None)
    for name in ("SUNDAY", "DECISION", "ERROR", "NAIVE", "CURRENT", "EXAMPLES", "HELD OUT", "IN USE"):
        table.add_column(name, justify="left" if name in ("SUNDAY", "DECISION", "IN USE") else "right")
    for one in versions:
        card = one.card
        rival = "" if card.current_error is None else f"{card.current_error:.4f}"
        table.add_row(
            card.sunday, card.decision.value, f"{card.error:.4f}", f"{card.naive_error:.4f}", rival,
            f"{card.trained_on:,}", f"{card.held_out:,}", "yes" if card.sunday == used else "",
        )  # fmt: skip
    if versions:
        print_table(table)
    else:
        data.print("No model was trained yet.")
    talk.print("Next: gamestream models train")


def show(sunday: Sunday = None, home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """Show the card of a version; default: of the newest one."""
    from gamestream_dagster.training.registry import PAGE_FILE

    with as_could_not_run():
        version = _version(home, port_base, sunday)
        version.model()
        page = (version.folder / PAGE_FILE).read_text(encoding="utf-8")
    typer.echo(json.dumps(asdict(version.card)) if as_json else page)


def train(
    sunday: Sunday = None,
    again: Annotated[bool, typer.Option("--again", help="Also where there is a version of this Sunday.")] = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Train the difficulty model of a Sunday from the settled days up to it.

    Exit codes: 0 there is a version; 2 it could not be trained.
    """
    from gamestream_dagster.training.train import last_sunday
    from gamestream_dagster.training.train import train as train_model

    settings = settings_from(home, port_base)
    with as_could_not_run(), talk.status("training"):
        wanted = last_sunday(datetime.now(UTC).date()) if sunday is None else _day(sunday)
        card = train_model(settings, wanted, again=again).card
    if as_json:
        typer.echo(json.dumps(asdict(card)))
        return
    data.print(f"{card.decision.value}  {card.sunday}  error {card.error:.4f}, naive {card.naive_error:.4f}")
    talk.print(f"Next: gamestream models show --sunday {card.sunday}")


def predict(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """Predict each level's pass rate of the day after the newest settled one, by the model in use."""
    from gamestream_dagster.training.predict import predictions

    with as_could_not_run():
        found = predictions(settings_from(home, port_base))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], default=str))
        return
    table = Table(box=None)
    for name in ("DAY", "LEVEL", "EXPECTED PASS RATE", "LAST 7 DAYS", "ATTEMPTS"):
        table.add_column(name, justify="left" if name == "DAY" else "right")
    for one in found:
        shown = (f"{one.expected:.1%}", f"{one.past:.1%}", f"{one.attempts:,}")
        table.add_row(one.day.isoformat(), str(one.level_id), *shown)
    print_table(table)


def _version(home: Home, port_base: PortBase, sunday: str | None) -> Version:
    from gamestream_dagster.training.registry import Registry

    registry = Registry(settings_from(home, port_base))
    versions = registry.versions()
    if not versions:
        raise CouldNotRun("No model was trained yet; run `gamestream models train`.")
    if sunday is None:
        return versions[-1]
    found = registry.version(_day(sunday))
    if found is None:
        raise CouldNotRun(f"There is no model of {sunday}; `gamestream models list` shows the versions.")
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CouldNotRun(f"--sunday {text!r} is not a day; write it as 2026-11-22.") from None

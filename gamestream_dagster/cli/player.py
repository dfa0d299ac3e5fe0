"""`gamestream player`: export a player, erase a player, list the requests. Output never names a player."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, Yes, as_could_not_run, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.privacy.certificate import EraseCertificate, Place

data = PlainConsole(width=200, soft_wrap=True)
talk = Talk(stderr=True)

PlayerId = Annotated[str, typer.Argument(metavar="ID", help="The player's `user_id`; `-` reads it from stdin.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    player = typer.Typer(help="Personal data: export or erase a player.", no_args_is_help=True)
    player.command("export")(export)
    player.command("erase")(erase)
    player.command("request")(request)
    player.command("requests")(requests)
    app.add_typer(player, name="player", rich_help_panel=panels.EVENTS)


def export(
    user_id: PlayerId,
    out: Annotated[Path, typer.Option(help="The zip to write.")] = Path("player-export.zip"),
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Write everything that the stores hold of a player into a zip, and nothing of anybody else.

    Exit codes: 0 written; 1 nothing is known of the player; 2 a store could not be read.
    """
    from gamestream_dagster.privacy.export import export as export_player

    settings = settings_from(home, port_base)
    with as_could_not_run(), _writable(out), talk.status("reading every store"):
        made = export_player(settings, _given(user_id), out)
    if as_json:
        told = {"file": str(made.file), "values": made.values, "places": made.places, "sha256": made.sha256}
        typer.echo(json.dumps(told, indent=2))
    talk.print(Text(f"Done. {made.file}: VALUES={made.values} PLACES={made.places} SHA256={made.sha256[:12]}"))
    raise typer.Exit(0 if made.values else 1)


def erase(  # noqa: PLR0917 - Typer reads the options from the signature
    user_id: PlayerId,
    out: Annotated[Path | None, typer.Option(help="File of the certificate.")] = None,
    yes: Yes = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Erase a player from every store, and certify it. Run it again after it was interrupted: it goes on.

    Jobs whose state holds totals by player start from nothing and read their topics again. Exit codes: 0 erased, or the
    rest goes away by itself at the dates shown; 1 something is left that nothing removes; 2 could not run.
    """
    from gamestream_dagster.privacy.erase import erase as erase_player
    from gamestream_dagster.privacy.erase import request_erase

    settings = settings_from(home, port_base)
    if not yes and not typer.confirm("Erase this player for ever, also from boards and archives?", err=True):
        raise typer.Abort
    with as_could_not_run(), talk.status("looking into every store") as status:
        request = request_erase(settings, _given(user_id))
        talk.print(f"Request {request.number} is written.")
        made = erase_player(settings, request.number, status.update)
    target = out or settings.home / "privacy" / f"erase-{made.request}.json"
    with _writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(made.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(made.model_dump(mode="json"), indent=2))
    else:
        show(made)
    removed = sum(one.removed for one in made.places)
    left = sum(one.left for one in made.places)
    talk.print(Text(f"Done. {made.verdict.value}: REMOVED={removed} LEFT={left} CERTIFICATE={target}"))
    talk.print(Text(f"Next: gamestream certificate verify {shlex.quote(str(target))}"))
    raise typer.Exit(1 if made.verdict.value == "INCOMPLETE" else 0)


def request(
    user_id: PlayerId,
    only_export: Annotated[bool, typer.Option("--export", help="Ask for an export; nothing is erased.")] = False,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Write a request alone, and print its number for a run of `privacy_erase` or `privacy_export` in Dagster."""
    from gamestream_dagster.privacy.erase import request_erase
    from gamestream_dagster.privacy.requests import request_export

    settings = settings_from(home, port_base)
    with as_could_not_run(), talk.status("looking into every store"):
        write = request_export if only_export else request_erase
        made = write(settings, _given(user_id))
    typer.echo(str(made.number))
    job = "privacy_export" if only_export else "privacy_erase"
    talk.print(f"Done. REQUEST={made.number} STATE={made.state.value}; start the job {job} in Dagster with it.")


def show(made: EraseCertificate) -> None:
    """The certificate as a table."""
    table = Table("STORE", "PLACE", "FOUND", "REMOVED", "LEFT", "UNTIL", box=None, pad_edge=False)
    for one in made.places:
        table.add_row(one.store, one.place, str(one.found), str(one.removed), str(one.left), _until(one))
    print_table(table)
    for one in made.places:
        if one.why_left and one.left:
            data.print(Text(f"{one.place}: {one.why_left}"))


def _until(place: Place) -> str:
    if not place.left:
        return ""
    return f"{place.clean_at:%Y-%m-%d %H:%M UTC}" if place.clean_at else "nothing removes it"


def requests(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """List the requests to erase or export players, by number."""
    from gamestream_dagster.privacy.requests import open_requests

    settings = settings_from(home, port_base)
    with as_could_not_run(), open_requests(settings) as table_of:
        found = table_of.all()
    if as_json:
        told = [
            {"request": one.number, "state": one.state.value, "requested_at": one.requested_at.isoformat()}
            for one in found
        ]
        typer.echo(json.dumps(told, indent=2))
        return
    table = Table("REQUEST", "STATE", "REQUESTED", "BY", "VERDICT", box=None, pad_edge=False)
    for one in found:
        verdict = str((one.certificate or {}).get("verdict", ""))
        requested = f"{one.requested_at:%Y-%m-%d %H:%M UTC}"
        table.add_row(str(one.number), one.state.value, requested, one.requested_by, verdict)
    print_table(table)
    talk.print(f"Done. REQUESTS={len(found)} OPEN={sum(one.state.value == 'OPEN' for one in found)}")


def _given(user_id: str) -> str:
    return sys.stdin.readline().rstrip("\r\n") if user_id == "-" else user_id


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CouldNotRun(f"{path} cannot be written ({error.strerror}); name another file with --out.") from error

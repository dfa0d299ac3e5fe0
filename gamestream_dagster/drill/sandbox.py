"""The stack of a drill: a new one that is gone afterwards, or one in a home that was made for drills."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.site import SERVERS
from gamestream_dagster.platform import ports
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.port_block import PORTS_PER_STACK
from gamestream_dagster.settings import Settings, load_settings

MARK = "drill-sandbox"
CHECKPOINT_SECONDS = 3
"""Checkpoints more often than usual: a drill waits for many of them, and is to be over in ten minutes."""
_MARK_TEXT = "The servers of this home are killed by `gamestream drill --on`; keep nothing here.\n"

Say = Callable[[str], None]


@contextmanager
def new_sandbox(port_base: int | None, say: Say) -> Iterator[Settings]:
    """A stack in a temporary home on free ports; stopped and deleted at the end, whatever happens.

    Raises:
        DrillError: an address of a server that is not ours is set.
        PlatformError: the servers cannot be started.
    """
    folder = Path(tempfile.mkdtemp(prefix="gamestream-drill-"))
    try:
        base = port_base or ports.free_base(random.randrange(ports.FIRST_BASE, ports.LAST_BASE, PORTS_PER_STACK))  # noqa: S311 - no secret
        settings = _settings(folder / "home", base)
        try:
            _up(settings, say)
            yield settings
        finally:
            say("stop the servers of the drill")
            Stack(settings).down(purge=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def kept_sandbox(home: Path, port_base: int | None, say: Say) -> Iterator[Settings]:
    """The stack of a home that was made for drills; made when there is none, and left running.

    Raises:
        DrillError: the home holds something that no drill made.
        PlatformError: the servers cannot be started.
    """
    mark = home / MARK
    if not mark.is_file():
        if home.exists() and any(home.iterdir()):
            raise DrillError(
                f"{home} was not made by a drill: its servers would be killed and its topics filled with a crowd; "
                "give an empty folder, or leave --on out to use servers that are gone afterwards"
            )
        home.mkdir(parents=True, exist_ok=True)
        mark.write_text(_MARK_TEXT, encoding="utf-8")
    running = load_settings(home=home, port_base=port_base)
    base = running.port_base or ports.free_base(random.randrange(ports.FIRST_BASE, ports.LAST_BASE, PORTS_PER_STACK))  # noqa: S311
    settings = _settings(home, base)
    _up(settings, say)
    yield settings


def _settings(home: Path, base: int) -> Settings:
    settings = load_settings(home=home, port_base=base, checkpoint_interval_seconds=CHECKPOINT_SECONDS)
    for server in Settings.EMBEDDED:
        if settings.is_external(server):
            raise DrillError(
                f"an address of {server} is set, and a drill kills its own servers only; "
                "take it out of the environment (`gamestream doctor` shows where it comes from)"
            )
    return settings


def _up(settings: Settings, say: Say) -> None:
    say(f"start the servers of the drill in {settings.home}, ports from {settings.port_base}")
    Stack(settings).up(SERVERS)

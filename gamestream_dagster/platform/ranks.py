"""The loader of the ranks of all players."""

from __future__ import annotations

import sys
import time

from gamestream_dagster.platform import layout
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.platform.valkey import wanted
from gamestream_dagster.settings import Settings

HEARTBEAT_SECONDS = 60


def prepare(settings: Settings) -> None:
    """An empty working folder, without the heartbeat of an earlier run."""
    folder = layout.service_dir(settings, "ranks")
    folder.mkdir(exist_ok=True)
    (folder / "heartbeat").unlink(missing_ok=True)


def program(settings: Settings) -> Program:
    """The loader's command."""
    return Program(
        command=(sys.executable, "-m", "gamestream_dagster.serving_api.ranks"),
        environment={"GAMESTREAM_HOME": str(settings.home), **layout.python_environment()},
        directory=layout.service_dir(settings, "ranks"),
    )


def probe(settings: Settings) -> str | None:
    """Read its heartbeat: it writes one with each round, also while there is nothing to load or no topic yet."""
    path = layout.service_dir(settings, "ranks") / "heartbeat"
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return "no round yet"
    return None if age < HEARTBEAT_SECONDS else f"no round for {age:.0f} s; see `gamestream logs ranks`"


SERVICES = (
    Service(
        name="ranks",
        group="ranks",
        needs=("kafka", "postgres", "valkey"),
        ports=(),
        memory_mib=200,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda _: "",
        wanted=wanted,
    ),
)

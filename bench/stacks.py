"""The stack under measurement: a temporary one, or a running one whose boards may be overwritten."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.results import BenchError
from bench.rounds import Say
from gamestream_dagster.platform import ports
from gamestream_dagster.platform.service import ServiceState
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.settings import Ranks, Settings, load_settings

SERVERS = ("kafka", "registry", "postgres", "flink")
# A benchmark reads in seconds the ids of minutes.
HEAP_MIB = 3072
# The first demo's four jobs need three slots each. Flink caches its pages for 3 s: an end would be seen that late.
QUICK_PAGES = {"web.refresh-interval": "200"}
# An overloaded machine answers late: at 5 s Flink would give up a TaskManager that is only busy.
FLINK_OPTIONS = {**QUICK_PAGES, "taskmanager.numberOfTaskSlots": "12", "heartbeat.timeout": "50 s"}


@contextmanager
def stack_for(
    given: Path | None,
    say: Say,
    servers: tuple[str, ...] = SERVERS,
    heap_mib: int = HEAP_MIB,
    ranks: Ranks = Ranks.BOARDS,
) -> Iterator[Settings]:
    """A stack with its topics and tables.

    Args:
        given: home of a running stack; its boards are overwritten. None: a temporary stack.
        say: receives progress.
        servers: those that a temporary stack starts.
        heap_mib: of its TaskManager.
        ranks: whose ranks a temporary stack keeps.

    Raises:
        BenchError: the given stack does not run.
        PlatformError: a server does not start.
    """
    if given is not None:
        settings = load_settings(home=given)
        down = [one.name for one in Stack(settings).status() if one.name in _needed() and not _well(one.state)]
        if down:
            raise BenchError(f"{', '.join(down)} of {given} do not run; start them with `gamestream up --home {given}`")
        provision(settings)
        yield settings
        return
    with own_home(FLINK_OPTIONS, heap_mib, ranks) as settings:
        say(f"start a temporary stack: {', '.join(servers)}")
        try:
            Stack(settings).up(servers)
            provision(settings)
            yield settings
        finally:
            Stack(settings).down(purge=True)


@contextmanager
def own_home(
    flink_options: Mapping[str, str] = QUICK_PAGES, heap_mib: int = HEAP_MIB, ranks: Ranks = Ranks.BOARDS
) -> Iterator[Settings]:
    """Settings of a new stack on free ports, in a folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    try:
        home = folder / "home"
        home.mkdir()
        profile = {"flink_options": dict(flink_options), "taskmanager_heap_mib": heap_mib, "ranks": ranks.value}
        (home / "profile.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
        yield load_settings(home=home, port_base=ports.free_base(random.randrange(29000, 31500, 20)))  # noqa: S311
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def provision(settings: Settings) -> None:
    """Topics, subjects and tables; no job."""
    kinds = tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB)
    manager.apply(settings, manager.plan(settings, kinds))


def pid_of(settings: Settings, service: str) -> int:
    """Process id of a server.

    Raises:
        BenchError: it has none.
    """
    pid = next((one.pid for one in Stack(settings).status() if one.name == service), None)
    if pid is None:
        raise BenchError(f"{service} has no process; see `gamestream status --home {settings.home}`")
    return pid


def _needed() -> tuple[str, ...]:
    return ("kafka", "registry", "postgres", "flink-jobmanager", "flink-taskmanager", "flink-gateway")


def _well(state: ServiceState) -> bool:
    return state in (ServiceState.HEALTHY, ServiceState.EXTERNAL)

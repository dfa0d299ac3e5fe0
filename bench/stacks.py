"""The stack that is measured: one of its own, removed afterwards, or one that runs and may be overwritten."""

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
from gamestream_dagster.settings import Settings, load_settings

SERVERS = ("kafka", "registry", "postgres", "flink")
# In seconds a benchmark drives as many ids through as others in minutes.
HEAP_MIB = 3072
# The first demo's four jobs ask for three slots each. Flink caches its pages for 3 s: an end would be seen that late.
QUICK_PAGES = {"web.refresh-interval": "200"}
# A machine that is driven to its limit answers late: at 5 s Flink would give up a TaskManager that only works hard.
FLINK_OPTIONS = {**QUICK_PAGES, "taskmanager.numberOfTaskSlots": "12", "heartbeat.timeout": "50 s"}


@contextmanager
def stack_for(
    given: Path | None, say: Say, servers: tuple[str, ...] = SERVERS, heap_mib: int = HEAP_MIB
) -> Iterator[Settings]:
    """A stack whose topics and tables are there.

    Args:
        given: home of a running stack; its boards are overwritten. None: a stack of its own, removed at the end.
        say: told what is being done.
        servers: which ones a stack of its own starts.
        heap_mib: of its TaskManager.

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
    with own_home(FLINK_OPTIONS, heap_mib) as settings:
        say(f"start a stack of its own: {', '.join(servers)}")
        try:
            Stack(settings).up(servers)
            provision(settings)
            yield settings
        finally:
            Stack(settings).down(purge=True)


@contextmanager
def own_home(flink_options: Mapping[str, str] = QUICK_PAGES, heap_mib: int = HEAP_MIB) -> Iterator[Settings]:
    """Settings of a stack that nobody has started, on free ports, in a folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    try:
        home = folder / "home"
        home.mkdir()
        profile = {"flink_options": dict(flink_options), "taskmanager_heap_mib": heap_mib}
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

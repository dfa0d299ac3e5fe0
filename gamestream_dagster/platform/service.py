"""A server of the stack: its dependencies and ports, how to prepare and run it, and its health check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gamestream_dagster.settings import Settings


class ServiceState(StrEnum):
    """State of one service in `gamestream status`."""

    HEALTHY = "HEALTHY"  # runs and answers its own API
    STARTING = "STARTING"  # its process runs, its API does not answer yet (or no longer)
    STOPPED = "STOPPED"  # no process: never started, or stopped
    FAILED = "FAILED"  # the supervisor gave up restarting it
    EXTERNAL = "EXTERNAL"  # external and reachable: we start nothing for it
    UNREACHABLE = "UNREACHABLE"  # external and unreachable


@dataclass(frozen=True)
class Program:
    """A command for the supervisor. The environment is added to the supervisor's own."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    user: str | None = None  # system user to run as, when the stack runs as root


@dataclass(frozen=True)
class Service:
    """One server.

    `prepare` writes its files and creates its data folder; it is idempotent.
    `probe` asks the server itself: None when healthy, else a few words on what is missing.
    """

    name: str
    group: str
    needs: tuple[str, ...]
    ports: tuple[str, ...]  # keys of `STANDARD_PORTS`
    memory_mib: int  # expected resident memory
    prepare: Callable[[Settings], None]
    program: Callable[[Settings], Program]
    probe: Callable[[Settings], str | None]
    link: Callable[[Settings], str]
    external: str | None = None  # argument for `Settings.is_external`
    start_seconds: int = 180  # far more than a quiet machine needs; a process that ends is detected at once
    stop_signal: str = "TERM"
    stop_seconds: int = 30  # then it is killed
    # Why the service cannot start at present though nothing is wrong; None when it can.
    missing: Callable[[Settings], str | None] = lambda _: None
    # Whether the settings make it a part of the stack.
    wanted: Callable[[Settings], bool] = lambda _: True


@dataclass(frozen=True)
class ServiceStatus:
    """One row of `gamestream status`. Memory in bytes, uptime in seconds; both None without a process."""

    name: str
    state: ServiceState
    pid: int | None
    port: int | None
    resident_bytes: int | None
    uptime_seconds: float | None
    link: str
    detail: str


class ProgressState(StrEnum):
    """A progress event of a service or a job while the stack goes up or down."""

    FETCHING = "fetching"  # fetching and checking jars
    PREPARING = "preparing"  # creating files and data folders
    STARTING = "starting"  # its process runs, its API does not answer yet
    HEALTHY = "healthy"  # answers
    EXTERNAL = "external"  # not started: external
    SKIPPED = "skipped"  # not started: the detail says why
    STOPPED = "stopped"  # its process has ended; a job stopped with a savepoint
    STOPPING = "stopping"  # stopping a job with a savepoint
    RESUMING = "resuming"  # resuming a job
    FAILED = "not done"  # a job did not stop, or did not resume; the stack continues


# Called with (service name, state, detail) from several threads.
Progress = Callable[[str, ProgressState, str], None]


def silent(name: str, state: ProgressState, detail: str) -> None:
    """A progress callback that prints nothing."""

"""What a server of the stack is: its needs, its ports, how to prepare it, run it and ask for its health."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gamestream_dagster.settings import Settings


class ServiceState(StrEnum):
    """State of one service, as `gamestream status` shows it."""

    HEALTHY = "HEALTHY"  # runs and answers its own API
    STARTING = "STARTING"  # its process runs, its API does not answer yet (or no longer)
    STOPPED = "STOPPED"  # no process, because nobody started it or somebody stopped it
    FAILED = "FAILED"  # the supervisor gave up restarting it
    EXTERNAL = "EXTERNAL"  # its address was given and answers: nothing is started for it
    UNREACHABLE = "UNREACHABLE"  # its address was given and does not answer


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

    `prepare` writes its files and makes its data folder; it may be called again and then changes nothing.
    `probe` asks the server itself: None when healthy, else a few words on what is missing.
    """

    name: str
    group: str
    needs: tuple[str, ...]
    ports: tuple[str, ...]  # keys of `STANDARD_PORTS`
    memory_mib: int  # resident memory to expect
    prepare: Callable[[Settings], None]
    program: Callable[[Settings], Program]
    probe: Callable[[Settings], str | None]
    link: Callable[[Settings], str]
    external: str | None = None  # argument for `Settings.is_external`
    start_seconds: int = 180  # far more than a quiet machine needs; a process that ends is noticed at once
    stop_signal: str = "TERM"
    stop_seconds: int = 30  # then it is killed
    # Why the service cannot be started at present though nothing is wrong; None when it can.
    missing: Callable[[Settings], str | None] = lambda _: None


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
    """What is reported of a service while the stack goes up or down, and of a job."""

    FETCHING = "fetching"  # jars are being fetched and checked
    PREPARING = "preparing"  # files and data folders are being made
    STARTING = "starting"  # its process runs, its API does not answer yet
    HEALTHY = "healthy"  # answers
    EXTERNAL = "external"  # not started: its address was given
    SKIPPED = "skipped"  # not started: the detail says why
    STOPPED = "stopped"  # its process has ended; of a job: it was stopped with a savepoint
    STOPPING = "stopping"  # a job is being stopped with a savepoint
    RESUMING = "resuming"  # a job is being brought back
    FAILED = "not done"  # a job was not stopped, or not brought back; the stack goes on all the same


# Called with (service name, state, detail) from several threads.
Progress = Callable[[str, ProgressState, str], None]


def silent(name: str, state: ProgressState, detail: str) -> None:
    """A progress callback that shows nothing."""

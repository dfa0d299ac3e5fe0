"""Dagster daemons that run beside the stack's own, such as that of `dg dev`: schedules and sensors would tick twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gamestream_dagster.settings import Settings

DEFAULT_HOME = ".gamestream"


@dataclass(frozen=True)
class Daemon:
    """A process that ticks schedules and sensors for a stack."""

    pid: int
    command: str
    supervised: bool
    """Whether `gamestream up` started it."""

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"


def daemons_of(settings: Settings) -> list[Daemon]:
    """The user's Dagster daemons on this machine that work on the stack of `settings`."""
    return sorted(_daemons(settings.home.resolve()), key=lambda daemon: daemon.pid)


def second_daemons(daemons: Sequence[Daemon]) -> list[Daemon]:
    """Those that are one too many: where several run, all that `gamestream up` did not start."""
    return [daemon for daemon in daemons if not daemon.supervised] if len(daemons) > 1 else []


def second_daemon_told(settings: Settings) -> str:
    """What a second daemon means and how to end it; empty when there is none."""
    second = second_daemons(daemons_of(settings))
    if not second:
        return ""
    named = ", ".join(map(str, second))
    return (
        f"another Dagster daemon works on this stack: {named}. Each schedule and sensor ticks twice. End it (`dg dev` "
        "with Ctrl-C), or run the stack without its own Dagster: `gamestream down`, then "
        "`gamestream up --only kafka,registry,postgres,flink,dashboard`"
    )


def _daemons(home: Path) -> Iterator[Daemon]:
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid():
                continue
            command = process.cmdline()
            if _is_daemon(command) and _home_of(process) == home:
                yield Daemon(process.pid, _short(command), _supervised(process))
        except (psutil.Error, OSError):  # ended meanwhile, or not ours to look at
            continue


def _is_daemon(command: list[str]) -> bool:
    """`dagster-daemon run` and `python -m dagster._daemon run`: the process that ticks, whatever started it."""
    if "run" not in command:
        return False
    before = command[: command.index("run")]
    return "dagster._daemon" in before or any(Path(word).name == "dagster-daemon" for word in before[:2])


def _home_of(process: psutil.Process) -> Path:
    given = process.environ().get("GAMESTREAM_HOME") or DEFAULT_HOME
    return (Path(process.cwd()) / Path(given).expanduser()).resolve()


def _supervised(process: psutil.Process) -> bool:
    return any("supervisord" in " ".join(parent.cmdline()) for parent in process.parents())


def _short(command: list[str]) -> str:
    words = [Path(word).name if word.startswith("/") else word for word in command]
    return " ".join(words[:5])

"""Free memory of the machine or of the surrounding container."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from gamestream_dagster.platform.errors import MemoryShortError
from gamestream_dagster.platform.service import Service

CGROUP = Path("/sys/fs/cgroup")
MIB = 1024 * 1024


def available_mib(cgroup: Path = CGROUP) -> int:
    """Memory available to new processes, MiB: the machine's, or the control group's rest when that is less."""
    machine = psutil.virtual_memory().available // MIB
    limit = _number(cgroup / "memory.max")
    used = _number(cgroup / "memory.current")
    if limit is None or used is None:
        return machine
    return min(machine, (limit - used + (_inactive_file(cgroup / "memory.stat") or 0)) // MIB)


def require(services: Iterable[Service], available: int) -> None:
    """Check that the services fit.

    Raises:
        MemoryShortError: names the missing amount.
    """
    chosen = list(services)
    needed = sum(service.memory_mib for service in chosen)
    if needed > available:
        names = ", ".join(service.name for service in chosen)
        raise MemoryShortError(
            f"Starting {names} needs about {needed} MiB of memory and {available} MiB are free; "
            "close something, or start less with `gamestream up --only kafka,registry,postgres,flink`."
        )


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:  # no control group, or version 1: the machine's own figure counts
        return None
    return int(text) if text.isdigit() else None


def _inactive_file(path: Path) -> int | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), None)

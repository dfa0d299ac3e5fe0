"""What the figures were measured on, and what processes took of it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROC = Path("/proc")
_PACKAGES = ("apache-flink", "confluent-kafka", "duckdb", "orjson", "pyarrow", "dagster")


def machine() -> dict[str, Any]:
    """Cores, processor, memory, kernel, load; the same keys on every machine."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load": [round(one, 1) for one in os.getloadavg()],
    }


def machine_line(found: dict[str, Any]) -> str:
    """The same in one line."""
    return (
        f"{found['cores']} cores ({found['processor']}), {found['memory_gib']} GiB, {found['system']}, "
        f"Python {found['python']}, load average at the start {' '.join(str(one) for one in found['load'])}"
    )


def versions(more: dict[str, str] | None = None) -> dict[str, str]:
    """Versions of what does the work; packages that are absent are left out."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, **(more or {})}


def _processor() -> str:
    try:
        lines = (PROC / "cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux: the platform's own word must do
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def cpu_seconds(stat: str) -> float:
    """User and system time of a process and its threads, from the text of `/proc/<pid>/stat`.

    The name of the command stands in parentheses and may hold blanks and parentheses itself.
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of(pids: Iterable[int]) -> float:
    """CPU seconds that living processes have taken since they began."""
    return sum(cpu_seconds((PROC / str(pid) / "stat").read_text(encoding="utf-8")) for pid in pids)


@dataclass
class Spent:
    """What a stretch of work took."""

    seconds: float = 0.0
    cpu: float = 0.0


@contextmanager
def spending(pids: Iterable[int]) -> Iterator[Spent]:
    """Measure a block: wall seconds, and CPU seconds of `pids`. Filled in when the block ends without an error."""
    chosen = list(pids)
    spent = Spent()
    started, cpu = time.perf_counter(), cpu_of(chosen)
    yield spent
    spent.seconds, spent.cpu = time.perf_counter() - started, cpu_of(chosen) - cpu

"""What the operating system knows of the processes of servers."""

from __future__ import annotations

import time

import psutil


def process_figures(pid: int | None) -> tuple[int | None, float | None]:
    """Resident bytes of a process and its children, and seconds since its start."""
    if pid is None:
        return None, None
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        resident = sum(_resident(each) for each in family)
        return resident, time.time() - process.create_time()
    except psutil.NoSuchProcess:
        return None, None


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def descendants(pids: list[int]) -> list[psutil.Process]:
    """Children of processes, and theirs; of those that are gone none."""
    found = []
    for pid in pids:
        try:
            found += psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            continue
    return found

"""Puts stored results into a page: what stands between `<!-- bench:<measure> -->` and `<!-- /bench -->` is theirs.

`<!-- bench:<measure> events=<n> -->` takes the newest of the runs with so many events.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bench.results import BenchError, newest_path

_BLOCK = re.compile(r"(<!-- bench:([a-z]+)(?: events=(\d+))? -->\n).*?(<!-- /bench -->)", re.DOTALL)
NONE_YET = "Not measured yet: `gamestream bench {measure}`, then `gamestream bench charts`.\n"


def write_page(page: Path, results: Path) -> list[str]:
    """Fill every block with the newest result of its measure; returns the names of the runs.

    Raises:
        BenchError: there is no such page, or it has no block.
    """
    if not page.is_file():
        raise BenchError(f"there is no {page}; give --results a folder `bench/results` of a clone")
    told: list[str] = []

    def markdown(measure: str, events: int | None) -> str | None:
        path = newest_path(results, measure, events)
        if path is None:
            return None
        told.append(path.stem)
        return path.with_suffix(".md").read_text(encoding="utf-8")

    text, count = filled(page.read_text(encoding="utf-8"), markdown)
    if not count:
        raise BenchError(f"{page} has no place for results, such as `<!-- bench:streaming -->`; write one")
    page.write_text(text, encoding="utf-8")
    return told


def filled(text: str, markdown: Callable[[str, int | None], str | None]) -> tuple[str, int]:
    """The page with its blocks filled, and how many there are. `markdown` gives a result's by measure and events."""

    def block(found: re.Match[str]) -> str:
        opening, measure, events, closing = found.groups()
        content = markdown(measure, int(events) if events else None)
        if content is None:
            return f"{opening}{NONE_YET.format(measure=measure)}{closing}"
        heading, _, rest = content.partition("\n")
        run = heading.removeprefix(f"# {measure}, ")
        return f"{opening}*{run[:1].upper()}{run[1:]}.* {rest.strip()}\n{closing}"

    return _BLOCK.subn(block, text)

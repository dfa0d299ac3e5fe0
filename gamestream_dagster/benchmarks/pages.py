"""Puts stored results into a page: what stands between `<!-- bench:<measure> -->` and `<!-- /bench -->` is theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from gamestream_dagster.benchmarks.results import BenchError

_BLOCK = re.compile(r"(<!-- bench:([a-z]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
NONE_YET = "Not measured yet: `gamestream bench {measure}`, then `gamestream bench charts`.\n"


def write_page(page: Path, results: Path) -> list[str]:
    """Fill every block with the newest result of its measure; returns the measures that have one.

    Raises:
        BenchError: there is no such page, or it has no block.
    """
    if not page.is_file():
        raise BenchError(f"there is no {page}; give --results a folder `bench/results` of a clone")
    told: list[str] = []

    def newest(measure: str) -> str | None:
        found = sorted(results.glob(f"{measure}_*T*Z.md"))
        if found:
            told.append(measure)
        return found[-1].read_text(encoding="utf-8") if found else None

    text, count = filled(page.read_text(encoding="utf-8"), newest)
    if not count:
        raise BenchError(f"{page} has no place for results, such as `<!-- bench:streaming -->`; write one")
    page.write_text(text, encoding="utf-8")
    return told


def filled(text: str, newest: Callable[[str], str | None]) -> tuple[str, int]:
    """The page with its blocks filled, and how many there are. `newest` gives a result's Markdown by measure."""

    def block(found: re.Match[str]) -> str:
        opening, measure, closing = found.groups()
        content = newest(measure)
        if content is None:
            return f"{opening}{NONE_YET.format(measure=measure)}{closing}"
        heading, _, rest = content.partition("\n")
        run = heading.removeprefix(f"# {measure}, ")
        return f"{opening}*{run[:1].upper()}{run[1:]}.* {rest.strip()}\n{closing}"

    return _BLOCK.subn(block, text)

"""The tables of docs/privacy.md, made from the inventory: `python -m gamestream_dagster.privacy.report`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Final

from gamestream_dagster.privacy.inventory import Fields, Inventory, Kind, about_players, load_inventory
from gamestream_dagster.settings import PROJECT_ROOT

PAGE: Final = PROJECT_ROOT / "docs" / "privacy.md"
_BEGIN: Final = "<!-- inventory: made by `python -m gamestream_dagster.privacy.report` -->"
_END: Final = "<!-- end of inventory -->"
_TITLES: Final[Mapping[str, str]] = {
    "events": "Fields of events",
    "streams": "Records that jobs write",
    "archive": "Archives",
    "outputs": "Boards and outputs",
    "metrics": "Settled metrics",
    "tables": "System tables",
}
_WIDTH: Final = 116


def page_with_inventory(page: Path = PAGE) -> str:
    """The page with the tables of the inventory as it is now."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n\n{''.join(_lines(load_inventory()))}\n{_END}{rest.partition(_END)[2]}"


def _lines(inventory: Inventory) -> Iterator[str]:
    for part, title in _TITLES.items():
        yield f"### {title}\n\n"
        free = []
        for name, fields in inventory.parts[part].items():
            if about_players(fields):
                yield from _of_one(name, fields)
            else:
                free.append(f"`{name}`")
        if free:
            yield from _wrapped(f"Without personal data: {', '.join(free)}.", "", "")
        yield "\n"
    yield "### State of jobs\n\n| job | keeps | forgets |\n|---|---|---|\n"
    words = {"replay": "starts from nothing", "expires": "by itself", "none": "nothing to forget"}
    for job, one in inventory.jobs.items():
        hours = f", after {one.hours} h" if one.hours else ""
        yield f"| `{job}` | {one.keeps} | {words[one.forgets]}{hours} |\n"


def _of_one(name: str, fields: Fields) -> Iterator[str]:
    """One paragraph: the fields by kind, in the order of the kinds."""
    by_kind = sorted(fields.items(), key=lambda item: list(Kind).index(item[1]))
    said = [
        f"{kind.value.replace('_', ' ')}: {', '.join(field for field, _ in group)}"
        for kind, group in groupby(by_kind, key=lambda item: item[1])
    ]
    yield from _wrapped(f"- `{name}`: {'; '.join(said)}", "", "  ")


def _wrapped(text: str, first: str, others: str) -> Iterator[str]:
    line = first
    for word in text.split(" "):
        if len(line) + len(word) + 1 > _WIDTH and line.strip():
            yield line.rstrip() + "\n"
            line = others
        line += word + " "
    yield line.rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page_with_inventory(), encoding="utf-8")

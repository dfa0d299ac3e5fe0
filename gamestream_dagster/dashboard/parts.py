"""What pages are made of: tiles, panels, tables, charts and badges as plain values, drawn by `panels.html.j2`.

A page describes what it shows; how it looks, in light and dark, at any width, is decided here once. Colours never
carry a meaning alone: badges have a mark, series have a legend and a name in every tooltip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, TypeAlias


class Tone(StrEnum):
    """How a badge looks."""

    GOOD = "good"  # proven, or as it should be
    LIVE = "live"  # moving now
    WARN = "warn"  # not proven, or old
    BAD = "bad"  # a number is wrong, or its job is down
    PLAIN = "plain"  # for the record


@dataclass(frozen=True)
class Badge:
    """A small label; `hint` is its tooltip."""

    label: str
    tone: Tone
    hint: str = ""


@dataclass(frozen=True)
class Tile:
    """One number with its name; `href` is its proof, or the page of the docs that defines it."""

    label: str
    value: str
    about: str
    href: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    soft: str = ""
    """A second, quieter line."""
    href: str = ""
    tone: Tone | None = None
    """Draws the text as a badge."""
    hint: str = ""
    share: float | None = None
    """Length of a bar under the text, 0..1."""
    heat: float | None = None
    """Depth of the background, 0..1."""


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    title: str
    is_number: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells. The first column names the row; narrow screens show each row as a card."""

    kind: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    more: str = ""
    """What was left out, and where it is."""
    is_grid: bool = False
    """Stays a grid on narrow screens, and scrolls: for triangles of short cells."""


@dataclass(frozen=True)
class Bar:
    """One bar of a chart: heights of its segments, 0..1 of the chart's, in the order of the series."""

    heights: Sequence[float]
    hint: str
    href: str = ""
    mark: str = ""
    """A sign under the bar that says without colour what it is."""
    tone: Tone | None = None
    """Colours the bar; else its series does."""


@dataclass(frozen=True)
class Chart:
    """Bars in the order of time."""

    kind: ClassVar[str] = "chart"
    summary: str
    """What a reader of the picture would say of it; read to those who cannot see it."""
    top: str
    """The value of a bar of full height."""
    first: str
    last: str
    bars: Sequence[Bar]
    series: Sequence[str] = ()
    """Names of the segments, for the legend; nothing for a single one."""


@dataclass(frozen=True)
class Note:
    """A sentence in place of what cannot be shown, and what to do next."""

    kind: ClassVar[str] = "note"
    text: str
    command: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Tiles:
    """Tiles side by side."""

    kind: ClassVar[str] = "tiles"
    tiles: Sequence[Tile]


Part: TypeAlias = Table | Chart | Note | Tiles


@dataclass(frozen=True)
class Link:
    """A link of a panel."""

    label: str
    href: str


@dataclass(frozen=True)
class Panel:
    """One subject of a page."""

    name: str
    title: str
    about: str
    parts: Sequence[Part]
    badges: Sequence[Badge] = ()
    links: Sequence[Link] = ()
    is_wide: bool = False
    """Takes the whole width of the page."""
    is_tall: bool = False
    """Stands beside two panels that are shorter."""


def doc(page: str, anchor: str = "") -> str:
    """Address of a page of the docs, such as `runbooks/high_kafka_lag`, relative to every page."""
    return f"manual?page={page}" + (f"#{anchor}" if anchor else "")


def chart_of(
    values: Sequence[Sequence[float]],
    hints: Sequence[str],
    *,
    summary: str,
    unit: str,
    first: str,
    last: str,
    series: Sequence[str] = (),
    top: str = "",
) -> Chart:
    """A chart whose highest bar has the full height.

    Args:
        values: by bar, then by series.
        hints: by bar.
        summary: the picture in words.
        unit: of a value.
        first: name of the first bar.
        last: name of the last bar.
        series: names of the segments.
        top: the highest value as text; default: a short number.
    """
    most = max((sum(one) for one in values), default=0.0)
    bars = [
        Bar([value / most if most else 0.0 for value in one], hint) for one, hint in zip(values, hints, strict=True)
    ]
    return Chart(summary, f"{top or short(most)} {unit}".strip(), first, last, bars, series)


def ago(age: timedelta) -> str:
    """A short age: just now, 3 min ago, 5 h ago, 2 d ago. No seconds, which would change at every refresh."""
    seconds = age.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def clock(at: datetime) -> str:
    """`26 Nov 10:49`, in UTC."""
    return f"{at.astimezone(UTC):%d %b %H:%M}"


def count(value: float | None) -> str:
    """`12,345`, or a dash for what is not known."""
    return "–" if value is None else f"{value:,.0f}"


def short(value: float) -> str:
    """`950`, `9.5k`, `12.3M`: for places where a full number does not fit."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def per_cent(share: float | None) -> str:
    """`12.3 %`, or a dash for what is not known."""
    return "–" if share is None else f"{share * 100:.1f} %"


def size(octets: float | None) -> str:
    """`512 B`, `9.5 KiB`, `1.2 GiB`; a dash for what is not known."""
    if octets is None:
        return "–"
    for unit, least in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if octets >= least:
            return f"{octets / least:,.1f} {unit}"
    return f"{octets:,.0f} B"


def span(seconds: float) -> str:
    """`250 ms`, `3.2 s`, `12 s`, `13 min`, `2 h 3 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 row`, `3 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

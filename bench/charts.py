"""Small SVG charts of stored results: bars of medians, a whisker from the least to the greatest round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path
from typing import Any

from bench.figures import number
from bench.results import newest

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 760, 26, 270, 90, 46, 26
FONT = "font-family='system-ui,sans-serif'"
INK, FAINT, BAR, WHISKER = "#1f2933", "#7b8794", "#3d7ea6", "#1f2933"


@dataclass(frozen=True)
class Bar:
    """One bar; all figures in the chart's unit."""

    label: str
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, label: str, found: Mapping[str, float]) -> Bar:
        """From a stored spread."""
        return cls(label, found["median"], found["min"], found["max"])


@dataclass(frozen=True)
class Chart:
    """A chart and the run that its figures come from. `logarithmic`: where they are orders of magnitude apart."""

    name: str
    title: str
    unit: str
    source: str
    bars: Sequence[Bar]
    logarithmic: bool = False


def svg(chart: Chart) -> str:
    """The chart as an SVG document that stands alone: no script, no font, no address.

    Raises:
        ValueError: there is no bar, or one that a logarithm does not take.
    """
    if not chart.bars:
        raise ValueError(f"{chart.name} has no bar")
    scale = _scale(chart)
    height = TOP + ROW * len(chart.bars) + BOTTOM
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        f"role='img' aria-label='{escape(chart.title, quote=True)}'>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        _text(12, 20, chart.title, size=15, weight=600),
        _text(12, 37, chart.unit + (", logarithmic" if chart.logarithmic else ""), size=11, colour=FAINT),
    ]
    for place, bar in enumerate(chart.bars):
        parts += _bar(bar, TOP + ROW * place, scale)
    parts += [_text(12, height - 8, f"run {chart.source}; bar: median, line: least to greatest", size=10, colour=FAINT)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(bar: Bar, top: float, scale: _Scale) -> list[str]:
    end, low, high = scale.at(bar.median), scale.at(bar.low), scale.at(bar.high)
    middle = top + ROW / 2
    return [
        _text(LEFT - 8, middle + 4, bar.label, size=12, anchor="end"),
        f"<rect x='{LEFT}' y='{top + 5:.0f}' width='{max(1.0, end - LEFT):.1f}' height='{ROW - 10}' fill='{BAR}'/>",
        f"<path d='M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8' "
        f"stroke='{WHISKER}' fill='none'/>",
        _text(max(end, high) + 6, middle + 4, number(bar.median), size=12),
    ]


@dataclass(frozen=True)
class _Scale:
    first: float
    last: float
    logarithmic: bool

    def at(self, value: float) -> float:
        shown = log10(value) if self.logarithmic else value
        share = (shown - self.first) / (self.last - self.first)
        return LEFT + max(0.0, share) * (WIDTH - LEFT - RIGHT)


def _scale(chart: Chart) -> _Scale:
    greatest, least = max(bar.high for bar in chart.bars), min(bar.low for bar in chart.bars)
    if chart.logarithmic:
        if least <= 0:
            raise ValueError(f"{chart.name} has a figure that is not above 0")
        return _Scale(int(log10(least)) if least >= 1 else log10(least) - 1, log10(greatest) + 1e-9, True)
    return _Scale(0.0, greatest or 1.0, False)


def _text(x: float, y: float, text: str, *, size: int, weight: int = 400, colour: str = INK, anchor: str = "") -> str:
    where = f" text-anchor='{anchor}'" if anchor else ""
    style = f"{FONT} font-size='{size}' font-weight='{weight}' fill='{colour}'{where}"
    return f"<text x='{x:.0f}' y='{y:.0f}' {style}>{escape(text)}</text>"


def charts_of(result: Mapping[str, Any], source: str) -> list[Chart]:
    """The charts of one stored result; none for a measure that is better read as a table."""
    figures = result["figures"]
    match result["measure"]:
        case "streaming":
            return _streaming(figures["datasets"], source)
        case "latency":
            return [_latency(figures["cases"], source)]
        case "produce" | "archive" | "peers" as measure:
            titles = {
                "produce": "Records into Kafka",
                "archive": "Out of Kafka: archive and bare consumer",
                "peers": "The same events by other means",
            }
            bars = [Bar.of(name, one["per_second"]) for name, one in figures["contestants"].items()]
            return [Chart(measure, titles[measure], "events a second", source, bars)]
        case "recompute":
            bars = [Bar.of(name, one["seconds"]) for name, one in figures["contestants"].items()]
            title = f"Boards from an archive of {result['options']['events']:,} events"
            return [Chart("recompute", title, "seconds", source, bars)]
        case "recovery":
            bars = [Bar.of(name, one) for name, one in figures["seconds"].items()]
            return [Chart("recovery", "Start and recovery", "seconds", source, bars)]
        case _:
            return []


def _streaming(datasets: Sequence[Mapping[str, Any]], source: str) -> list[Chart]:
    main = next(one for one in datasets if one["main"])
    contestants = [Bar.of(name, one["per_second"]) for name, one in main["contestants"].items()]
    ours = next(iter(main["contestants"]))
    swept = [Bar.of(one["title"], one["contestants"][ours]["per_second"]) for one in datasets]
    title = f"Four boards from a full topic: {main['title']}"
    return [
        Chart("streaming", title, "events a second of wall time", source, contestants, logarithmic=True),
        Chart("players", "Four boards by number of players, format and skew", "events a second", source, swept),
    ]


def _latency(cases: Sequence[Mapping[str, Any]], source: str) -> Chart:
    bars = [
        Bar(f"{case['profile']}, {case['rate']:,}/s, {name}", found["p50"], found["p50"], found["p99"])
        for case in cases
        for name, found in case["observers"].items()
        if not name.startswith("hot")
    ]
    unit = "milliseconds; bar: p50, line: to p99"
    return Chart("latency", "From due to seen", unit, source, bars, logarithmic=True)


def draw_all(results: Path, images: Path) -> list[Path]:
    """Draw the newest result of each measure into `images`; returns the files."""
    images.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    for measure in ("streaming", "latency", "recompute", "archive", "peers", "produce", "recovery"):
        result = newest(results, measure)
        if result is None:
            continue
        source = f"{measure} {result['began']}, {result['machine']['cores']} cores"
        for chart in charts_of(result, source):
            path = images / f"bench-{chart.name}.svg"
            path.write_text(svg(chart), encoding="utf-8")
            found.append(path)
    return found

"""The page of each metric in `docs/metrics/`, from its folder.

`python -m gamestream_dagster.metrics.docs` writes them; a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

from gamestream_dagster.catalogue.metrics import LiveOutput, Metric, load_metrics
from gamestream_dagster.settings import PROJECT_ROOT

DOCS_DIR = PROJECT_ROOT / "docs" / "metrics"
_WIDTH = 120


def page(metric: Metric) -> str:
    """The page of one metric."""
    parts = [
        f"# {metric.title}: `{metric.name}`",
        _wrapped(metric.definition),
        _facts(metric),
        "## Columns",
        _table(
            ("column", "type", "unit", "meaning"),
            [(f"`{name}`", one.type.value, one.unit, one.meaning) for name, one in metric.columns.items()],
        ),
        "## Checks",
        _table(
            ("check", "severity", "holds"),
            [
                ("`has_rows`", metric.empty.value, "The day has rows."),
                ("`key_is_unique`", "fail", f"({', '.join(metric.key)}) names one row."),
                *((f"`{name}`", rule.severity.value, rule.holds) for name, rule in metric.rules.items()),
            ],
        ),
        f"Made from `batch_sql/{metric.name}/`; see [settled metrics](../metrics.md).",
    ]
    return "\n\n".join(parts) + "\n"


def _facts(metric: Metric) -> str:
    read = [_read(metric, name) for name in metric.reads]
    kept = "for ever" if metric.kept_days is None else f"{metric.kept_days} days"
    rows = [
        ("grain", metric.grain),
        ("key", ", ".join(f"`{name}`" for name in metric.key)),
        ("partition", f"`{metric.partition}`, a day in UTC"),
        ("reads", ", ".join(read)),
        ("late events", metric.lateness),
        ("kept", kept),
        *([("streamed, too", "; ".join(map(_streamed, metric.live)))] if metric.live else []),
        ("owner", metric.owner),
        ("source", metric.source),
    ]
    return _table(("", ""), rows)


def _read(metric: Metric, name: str) -> str:
    if name not in metric.upstream:
        return f"`{name}`"
    days = metric.window_of(name)
    return f"[`{name}`]({name}.md)" + (f" ({days} days)" if days > 1 else "")


def _streamed(live: LiveOutput) -> str:
    columns = ", ".join(f"`{name}`" for name in live.sums)
    return f"{columns} as [`{live.output}`](../live-metrics.md#live-against-settled)"


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def write_pages(folder: Path = DOCS_DIR, metrics: Mapping[str, Metric] | None = None) -> list[str]:
    """Write the page of every metric and remove those of others. Returns the names of the files that changed."""
    pages = {f"{one.name}.md": page(one) for one in (load_metrics() if metrics is None else metrics).values()}
    folder.mkdir(parents=True, exist_ok=True)
    changed: list[str] = []
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
            changed.append(path.name)
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return sorted(changed)


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}\n" for name in write_pages())

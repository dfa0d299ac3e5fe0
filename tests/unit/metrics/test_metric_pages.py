"""The page of each metric in the docs is that of its folder."""

from __future__ import annotations

from pathlib import Path

from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.metrics.docs import DOCS_DIR, page, write_pages


def test_the_pages_of_the_docs_are_those_of_the_folders() -> None:
    expected = {f"{metric.name}.md": page(metric) for metric in load_metrics().values()}
    found = {path.name: path.read_text(encoding="utf-8") for path in DOCS_DIR.glob("*.md")}
    assert found == expected, "run `.venv/bin/python -m gamestream_dagster.metrics.docs`"


def test_pages_are_written_once_and_those_of_other_metrics_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text("old", encoding="utf-8")
    names = sorted(f"{name}.md" for name in load_metrics())
    assert write_pages(tmp_path) == sorted([*names, "gone.md"])
    assert write_pages(tmp_path) == []


def test_the_overview_names_every_metric() -> None:
    overview = (DOCS_DIR.parent / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in load_metrics() if f"(metrics/{name}.md)" not in overview] == []

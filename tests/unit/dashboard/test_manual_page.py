"""The pages of docs/ on the dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.dashboard.pages.manual.texts import DOCS, listed, text_of


def test_every_page_of_the_docs_is_listed_and_readable() -> None:
    names = [name for found in listed().values() for name, _ in found]
    files = [*DOCS.glob("*.md"), *DOCS.glob("*/*.md")]
    assert sorted(names) == sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in files)
    assert all(text_of(name) for name in names)


def test_every_alert_has_a_runbook_that_the_dashboard_shows() -> None:
    for rule in load_book().rules:
        assert text_of(rule.runbook.removeprefix("docs/").removesuffix(".md")), rule.name


@pytest.mark.parametrize("name", ["", "gone", "../README", "/etc/passwd", "runbooks/../../README", "a/b/c", "a\x00b"])
def test_nothing_else_is_read(name: str) -> None:
    assert text_of(name) is None


def test_links_lead_to_the_dashboards_own_pages(tmp_path: Path) -> None:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "other.md").write_text("# Other", encoding="utf-8")
    text = "[a](../other.md#part) [b](https://example.org/x) [c](../../README.md) [d](#here) ![picture](x.png)"
    (tmp_path / "runbooks" / "one.md").write_text(text, encoding="utf-8")
    assert text_of("runbooks/one", tmp_path) == (
        "[a](manual?page=other#part) [b](https://example.org/x) c [d](#here) *picture*"
    )


def test_an_installation_without_docs_has_no_pages(tmp_path: Path) -> None:
    assert listed(tmp_path / "docs") == {}
    assert text_of("causes", tmp_path / "docs") is None

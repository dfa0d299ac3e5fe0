"""Tiles, panels, tables and charts as HTML."""

from __future__ import annotations

import pytest

from gamestream_dagster.dashboard import markup
from gamestream_dagster.dashboard.parts import (
    Badge,
    Bar,
    Cell,
    Chart,
    Column,
    Link,
    Note,
    Panel,
    Table,
    Tile,
    Tone,
    chart_of,
    doc,
    per_cent,
    short,
    size,
    span,
)

HOSTILE = ("<script>alert(1)</script>", '" onmouseover="x', "'><img src=x onerror=x>", "{{ 7*7 }}")


def drawn(*parts: object, tiles: tuple[Tile, ...] = ()) -> str:
    return markup.panels("auto", tiles, [Panel("one", "One", "A panel.", parts)])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_everywhere(text: str) -> None:
    cell = Cell(text, text, text, hint=text)
    badge = Cell(text, tone=Tone.BAD, hint=text)
    html = markup.panels(
        "auto",
        [Tile(text, text, text, text)],
        [
            Panel(
                "one",
                text,
                text,
                [
                    Table([Column(text, hint=text), Column(text)], [[cell, badge]], text),
                    Chart(text, text, text, text, [Bar([1.0], text, text, text)], [text, text]),
                    Note(text, text),
                ],
                [Badge(text, Tone.BAD, text)],
                [Link(text, text)],
            )
        ],
    )
    assert "<script" not in html
    assert "<img" not in html
    assert '" onmouseover' not in html
    assert "49" not in html


def test_a_badge_is_told_by_its_words_and_a_link_by_its_address() -> None:
    html = drawn(
        Table([Column("a"), Column("b")], [[Cell("x", href="https://example.org"), Cell("y", tone=Tone.GOOD)]])
    )
    assert 'href="https://example.org" target="_blank" rel="noopener"' in html
    assert '<span class="gs-badge gs-good">y</span>' in html
    assert '<th scope="row" data-label="a"' in html


def test_a_page_of_the_dashboard_opens_in_its_place_and_a_report_beside_it() -> None:
    html = drawn(tiles=(Tile("a", "1", "", doc("causes", "repair")), Tile("b", "2", "", "/reports/run.html")))
    assert 'href="manual?page=causes#repair">' in html
    assert 'href="/reports/run.html" target="_blank"' in html


def test_the_highest_bar_is_full_and_every_series_has_its_part() -> None:
    chart = chart_of([[1, 1], [3, 1], [0, 0]], ["a", "b", "c"], summary="s", unit="events", first="x", last="y")
    assert [bar.heights for bar in chart.bars] == [[0.25, 0.25], [0.75, 0.25], [0.0, 0.0]]
    assert chart.top == "4 events"
    assert 'role="img" aria-label="s"' in drawn(chart)


def test_a_chart_of_nothing_has_no_height() -> None:
    assert chart_of([[0.0]], ["a"], summary="", unit="", first="", last="").bars[0].heights == [0.0]
    assert chart_of([], [], summary="", unit="", first="", last="").top == "0"


def test_numbers_for_people() -> None:
    assert [short(value) for value in (0, 950, 9_500, 12_300_000, 0.25)] == ["0", "950", "9.5k", "12.3M", "0.25"]
    assert [size(value) for value in (None, 0, 2048, 5 << 30)] == ["–", "0 B", "2.0 KiB", "5.0 GiB"]
    assert [span(value) for value in (0.25, 59, 60, 3_700, 90_000)] == [
        "250 ms",
        "59 s",
        "1 min",
        "1 h 1 min",
        "1 d 1 h",
    ]
    assert [per_cent(value) for value in (None, 0.1234)] == ["–", "12.3 %"]

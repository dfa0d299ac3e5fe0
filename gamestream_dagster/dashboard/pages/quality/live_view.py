"""The panel of live against settled numbers."""

from __future__ import annotations

from gamestream_dagster.dashboard.pages.quality.proofs import Proofs, Row
from gamestream_dagster.dashboard.pages.quality.words import TONES, in_words
from gamestream_dagster.dashboard.parts import Cell, Column, Link, Note, Panel, Table, Tone, ago, count, doc


def live_panel(proofs: Proofs) -> Panel:
    """Each settled day beside what was streamed of it."""
    about = "Numbers of settled days beside what was streamed of them; each difference has a cause."
    links = (Link("what each cause means", doc("live-metrics", "live-against-settled")),)
    columns = (
        Column("metric"),
        Column("day"),
        Column("verdict"),
        Column("numbers", is_number=True),
        Column("differ", is_number=True),
        Column("causes"),
    )
    if not proofs.live:
        text = "No settled day was compared yet: Dagster does it once a job of live metrics runs and a day is settled."
        part = Note(text, "gamestream jobs apply game_metrics_v1")
        return Panel("live", "Live against settled", about, [part], links=links)
    table = Table(columns, [_compared(one, proofs) for one in proofs.live])
    return Panel("live", "Live against settled", about, [table], links=links, is_wide=True)


def _compared(one: Row, proofs: Proofs) -> tuple[Cell, ...]:
    causes = ", ".join(f"{cause} in {numbers}" for cause, numbers in sorted(one["causes"].items()))
    return (
        Cell(one["metric"], href=doc(f"metrics/{one['metric']}")),
        Cell(f"{one['day']:%d %b %Y}", soft=f"version {one['settle_version']}"),
        Cell(
            in_words(one["verdict"]),
            tone=TONES.get(one["verdict"], Tone.WARN),
            hint=f"compared {ago(proofs.read_at - one['compared_at'])}",
        ),
        Cell(count(one["numbers"])),
        Cell(count(one["differing"])),
        Cell(causes or "none"),
    )

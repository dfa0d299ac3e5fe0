"""The page Security: what was found, and what to do where nothing is looked at."""

from __future__ import annotations

from datetime import UTC, datetime

from gamestream_dagster.dashboard.pages.security.found import ROWS, Found
from gamestream_dagster.dashboard.pages.security.view import panels, tiles
from gamestream_dagster.dashboard.parts import Note, Table, Tone

NOW = datetime(2026, 9, 21, tzinfo=UTC)
LINES = {"lines": 1000, "unread": 10, "ssh_lines": 400, "ssh_unread": 2}
ATTACK = {
    "rule": "ssh_brute_force", "level": "high", "host": "gate-1", "source": "198.51.100.7", "country": "unknown",
    "attempts": 6, "as_of": NOW,
}  # fmt: skip


def test_where_the_job_was_never_deployed_the_page_says_how() -> None:
    (panel,) = panels(Found(NOW, None))
    (note,) = panel.parts
    assert isinstance(note, Note)
    assert note.command == "gamestream jobs apply security_v1"
    assert tiles(Found(NOW, None)) == []


def test_an_attack_is_a_row_and_a_tile() -> None:
    found = Found(NOW, LINES, attacks=[ATTACK])
    attacks, hosts, _ = panels(found)
    (table,) = attacks.parts
    assert isinstance(table, Table)
    assert [cell.text for cell in table.rows[0]][:4] == ["ssh_brute_force", "gate-1", "198.51.100.7", "6"]
    assert isinstance(hosts.parts[0], Note)
    values = {tile.label: (tile.value, tile.tone) for tile in tiles(found)}
    assert values == {
        "Log lines": ("1,000", Tone.PLAIN), "Read": ("99.0 %", Tone.GOOD), "Grave attacks": ("1", Tone.BAD),
    }  # fmt: skip


def test_lines_that_cannot_be_read_stand_out_and_no_line_is_no_share() -> None:
    assert {tile.label: tile.tone for tile in tiles(Found(NOW, {**LINES, "unread": 101}))}["Read"] is Tone.BAD
    nothing = dict.fromkeys(LINES, 0)
    assert {tile.label: tile.value for tile in tiles(Found(NOW, nothing))}["Read"] == "–"


def test_a_cut_list_says_so() -> None:
    (table,) = panels(Found(NOW, LINES, attacks=[ATTACK] * ROWS))[0].parts
    assert isinstance(table, Table)
    assert table.more

"""The leaderboards page in a real browser over a real Postgres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from tests.support.fakes.board_rows import HOSTILE, difference, fill, own_database, reconciled, write

BOARDS = {name: board for name, board in load_boards().items() if board.ranked}
# Runs in the page before anything else: how many rows stand at the first frame that has one.
FIRST_FRAME = """
window.rowsAtFirstFrame = null;
const look = () => {
  const rows = document.querySelectorAll('.gs-row').length;
  if (rows > 0) { window.rowsAtFirstFrame = rows; window.firstFrame = performance.now(); return; }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""


def deployed(settings: Settings) -> None:
    """Record a running deployment of each board's job."""
    table = load_metadata().tables["deployments"]
    for job in sorted({board.job for board in BOARDS.values()}):
        values = {"deployment_id": job, "job": job, "generation": 1, "fingerprint": "f", "state": "RUNNING"}
        write(settings, sa.insert(table).values(values))


def test_boards_are_full_at_first_paint_and_live(
    stack: Settings,
    serve: Callable[[Settings], str],
    page: Page,
    screenshots: Path,
) -> None:
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    with own_database(stack) as database:
        fill(database)
        deployed(database)
        reconciled(database)
        page.add_init_script(FIRST_FRAME)
        page.goto(serve(database))
        page.wait_for_function("window.rowsAtFirstFrame !== null")
        assert page.evaluate("window.rowsAtFirstFrame") == 10 * len(BOARDS)
        print(f"first frame with rows after {page.evaluate('Math.round(window.firstFrame)')} ms")

        for board in BOARDS.values():
            card = page.locator(f'[data-board="{board.name}"]')
            expect(card.get_by_role("heading")).to_have_text(board.title)
            expect(card.locator(".gs-row")).to_have_count(10)
            expect(card.locator(".gs-row").last).to_be_in_viewport()
            expect(card.get_by_text("live", exact=True)).to_be_visible()
            expect(card.get_by_text("verified")).to_be_visible()
        players = page.locator('[data-board="top_players"]')
        expect(players.get_by_text(HOSTILE, exact=True)).to_be_visible()
        page.screenshot(path=screenshots / "leaderboards.png")

        write(database, sa.text("UPDATE top_players SET total_score = 1234 WHERE rnk = 1"))
        expect(players.locator('[data-rank="1"] .gs-value')).to_have_text("1,234")
        expect(page.get_by_text("last change")).to_be_visible()

        run_id = reconciled(database, "DIFFERENT", rows_equal=39, rows_different=1, rows_unexplained=1)
        difference(database, run_id)
        expect(players.get_by_text("1 row differs")).to_be_visible()
        expect(players.locator('[data-rank="2"]').get_by_text("differs")).to_be_visible()
        expect(page.locator('[data-board="top_teams"]').get_by_text("verified")).to_be_visible()
    assert not alerts


def test_dark_and_narrow(stack: Settings, serve: Callable[[Settings], str], page: Page, screenshots: Path) -> None:
    with own_database(stack) as database:
        fill(database)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 420, "height": 900})
        page.goto(serve(database))
        card = page.locator('[data-board="top_players"]')
        expect(card.locator(".gs-row")).to_have_count(10)
        paper = card.evaluate("element => getComputedStyle(element).backgroundColor")
        assert sum(int(part) for part in paper.removeprefix("rgb(").removesuffix(")").split(",")) < 200, paper
        box = card.bounding_box()
        assert box is not None
        assert 300 <= box["width"] <= 420
        page.screenshot(path=screenshots / "leaderboards-dark-narrow.png")


@pytest.mark.parametrize("command", ["gamestream apply"])
def test_a_page_without_tables_says_what_to_do_and_recovers_by_itself(
    stack: Settings, serve: Callable[[Settings], str], page: Page, command: str
) -> None:
    with own_database(stack, tables=False) as database:
        page.goto(serve(database))
        expect(page.locator(".gs-problem").get_by_text(command)).to_be_visible()
        tables = engine(database)
        load_metadata().create_all(tables)
        tables.dispose()
        expect(page.locator(".gs-empty").first).to_contain_text("gamestream simulate")
        fill(database)
        expect(page.locator(".gs-row")).to_have_count(10 * len(BOARDS))


def test_the_report_page_shows_the_last_runs_report(
    stack: Settings, serve: Callable[[Settings], str], page: Page
) -> None:
    report = stack.reports_dir / "browser-test.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("<h1>All 40 rows are equal</h1>", encoding="utf-8")
    try:
        with own_database(stack) as database:
            fill(database)
            address = serve(database)
            page.goto(f"{address}/report")
            expect(page.get_by_text("No report yet")).to_be_visible()
            reconciled(database, report_path=str(report))
            expect(page.frame_locator("iframe").get_by_text("All 40 rows are equal")).to_be_visible()
    finally:
        report.unlink()

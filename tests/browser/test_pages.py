"""The pages beside the boards, in a real browser over real servers: numbers, empty states, narrow, dark, keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from confluent_kafka import Producer
from playwright.sync_api import Locator, Page, expect

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.dashboard.navigation import load_pages
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from tests.support.fakes.board_rows import HOSTILE, counted, difference, fill, own_database, reconciled, write
from tests.support.fakes.settled_days import settle

# Runs in the page: in how many frames from now on is the panel not there?
WATCH_PANEL = """() => {
  window.framesWithoutPanel = 0;
  const look = () => {
    if (!document.querySelector('[data-panel="arrivals"]')) window.framesWithoutPanel++;
    requestAnimationFrame(look);
  };
  look();
}"""
pytestmark = pytest.mark.any_boards
Serve = Callable[..., str]
BOARDS = [name for name, board in load_boards().items() if board.ranked]
RENDERED = [one for one in load_pages() if one.name not in ("leaderboards", "report", "manual")]


def panel(page: Page, name: str) -> Locator:
    return page.locator(f'[data-panel="{name}"]')


@contextmanager
def unreachable(database: Settings, stack: Settings) -> Iterator[None]:
    """The database takes no connection: for a page the same as a Postgres that is down, and no other test notices."""
    name = database.postgres_database
    server = engine(stack).execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as link:
        link.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        link.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        yield
        link.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    server.dispose()


def proven(database: Settings) -> None:
    """A history: a match, a run with an unexplained row, a run that could not look, and a match again."""
    balance = counted(database) | {"balanced": True}
    reconciled(database, boards=BOARDS, seconds=4.0, ledger=balance)
    run_id = reconciled(database, "DIFFERENT", rows_different=1, rows_unexplained=1, boards=BOARDS, seconds=5.0)
    difference(database, run_id, entity=HOSTILE, streamed=1, recomputed=1103)
    reconciled(database, "COULD_NOT_RUN", reason="no checkpoint", boards=BOARDS, seconds=1.0)
    reconciled(database, boards=BOARDS, seconds=4.0, ledger=balance)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    counts = {"received": 100, "accepted": 90, "duplicate": 4, "refused": 6, "retry": 0}
    table = load_metadata().tables["ingest_counts"]
    write(database, sa.insert(table).values(key_id="k", minute=minute, **counts))


def test_quality_shows_verdicts_causes_and_ledgers(
    stack: Settings, serve: Serve, page: Page, screenshots: Path
) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    with own_database(stack) as database:
        fill(database)
        proven(database)
        page.goto(f"{serve(database)}/quality")
        expect(panel(page, "boards").locator("tbody tr")).to_have_count(len(BOARDS))
        expect(page.get_by_text("Page not found")).to_have_count(0)
        expect(panel(page, "boards").get_by_text("MATCH")).to_have_count(len(BOARDS))
        marks = panel(page, "trend").locator(".gs-col b")
        expect(marks).to_have_text(["✓", "✗", "?", "✓"])
        expect(panel(page, "causes").get_by_text("UNEXPLAINED").first).to_be_visible()
        expect(panel(page, "causes").get_by_text(HOSTILE)).to_be_visible()
        ledger = panel(page, "ledger").locator("tbody tr")
        expect(ledger).to_contain_text("600")
        expect(ledger.get_by_text("balanced", exact=True)).to_be_visible()
        expect(panel(page, "intake").get_by_text("all answered")).to_be_visible()
        page.screenshot(path=screenshots / "quality.png", full_page=True)

        reconciled(database, "DIFFERENT", rows_different=2, boards=BOARDS)
        expect(marks).to_have_count(5)
        expect(panel(page, "boards").get_by_text("DIFFERENT")).to_have_count(len(BOARDS))
        run_id = reconciled(database, "DIFFERENT", rows_different=1, boards=BOARDS)
        difference(database, run_id, board="top_teams")
        expect(panel(page, "boards").get_by_text("DIFFERENT")).to_have_count(1)

        with unreachable(database, stack):
            expect(page.locator(".gs-problem")).to_contain_text("Postgres does not answer")
            expect(page.get_by_role("heading", name="Quality", level=1)).to_be_visible()
        expect(panel(page, "boards").locator("tbody tr")).to_have_count(len(BOARDS))

        panel(page, "causes").get_by_role("link", name="what each cause means").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Why a row differs: the causes")).to_be_visible()
        page.get_by_role("link", name="Platform", exact=True).first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Platform", level=1)).to_be_visible()
    assert not dialogs


def test_platform_shows_kafka_and_flink_and_survives_without_them(
    stack: Settings, serve: Serve, page: Page, screenshots: Path
) -> None:
    servers = {"GAMESTREAM_KAFKA_BOOTSTRAP": stack.kafka.bootstrap, "GAMESTREAM_FLINK_REST_URL": stack.flink_rest}
    with own_database(stack) as database:
        page.goto(f"{serve(database, **servers)}/platform")
        expect(panel(page, "jobs").get_by_text("leaderboards_v1")).to_be_visible()
        expect(panel(page, "jobs").get_by_text(re.compile("slots free"))).to_be_visible()
        expect(panel(page, "services").get_by_text("kafka", exact=True)).to_be_visible()
        expect(panel(page, "topics").locator(".gs-note.gs-warn")).to_have_count(0)
        expect(panel(page, "alerts")).to_contain_text("No rule was evaluated yet")
        page.screenshot(path=screenshots / "platform.png", full_page=True)
        # a server of its own where Kafka and Flink are away: their panels say so, the others stand
        page.goto(f"{serve(database)}/platform")
        expect(panel(page, "topics")).to_contain_text("Kafka does not answer")
        expect(panel(page, "jobs")).to_contain_text("Flink does not answer")
        expect(panel(page, "alerts")).to_contain_text("No rule was evaluated yet")
        expect(panel(page, "lag")).to_contain_text("No job has counted a record yet")


def test_game_shows_settled_days_and_player_keeps_ids_out_of_addresses(
    stack: Settings, serve: Serve, page: Page, screenshots: Path
) -> None:
    with own_database(stack) as database:
        fill(database)
        address = serve(database)
        page.goto(f"{address}/game")
        expect(panel(page, "none")).to_contain_text("gamestream metrics backfill")
        day = settle(database)
        page.goto(f"{serve(database)}/game")  # a server of its own: a page looks for new days twice a minute
        expect(panel(page, "active_users")).to_contain_text(f"{day:%d %b %Y} · v1")
        expect(panel(page, "active_users").locator(".gs-col")).to_have_count(30)
        expect(panel(page, "retention").locator("tbody tr")).to_have_count(30)
        expect(panel(page, "level_metrics").locator(".gs-col")).to_have_count(30)
        panel(page, "active_users").get_by_role("link", name="definition").click()
        expect(page.get_by_role("heading", level=1, name=re.compile("Active users"))).to_be_visible()
        page.goto(f"{address}/player")
        page.get_by_label("Players on the boards").click()
        page.get_by_role("option", name="bo", exact=True).click()
        expect(panel(page, "boards")).to_contain_text("Top players")
        assert page.url == f"{address}/player"
        page.get_by_label("Player id").fill("nobody")
        page.keyboard.press("Enter")
        expect(panel(page, "unknown")).to_be_visible()
        page.get_by_label("Player id").fill("B")
        page.keyboard.press("Enter")
        page.get_by_label("Players whose id begins so").click()
        page.get_by_role("option", name="bo", exact=True).click()
        expect(panel(page, "boards")).to_contain_text("Top players")
        page.screenshot(path=screenshots / "player.png", full_page=True)


def test_live_ops_moves_and_does_not_flicker(stack: Settings, serve: Serve, page: Page, screenshots: Path) -> None:
    raw = "game-events-raw"
    admin = KafkaAdmin(stack.kafka)
    if raw not in admin.topics():
        admin.create(raw, 1)
    with own_database(stack) as database:
        page.goto(f"{serve(database, GAMESTREAM_KAFKA_BOOTSTRAP=stack.kafka.bootstrap)}/live-ops")
        day = page.locator(".gs-tile", has_text="Last 24 hours").locator(".gs-tile-value")
        expect(day).to_have_text(re.compile(r"^[\d,]+$"))
        before = int(day.inner_text().replace(",", ""))
        expect(panel(page, "regions")).to_contain_text("gamestream jobs apply game_metrics_v1")
        page.evaluate(WATCH_PANEL)
        producer = Producer(stack.kafka.options({}))
        for number in range(7):
            producer.produce(raw, key=b"live", value=b"{%d" % number)
        producer.flush(10)
        expect(day).to_have_text(f"{before + 7:,}")
        assert page.evaluate("window.framesWithoutPanel") == 0
        page.screenshot(path=screenshots / "live-ops.png", full_page=True)


def test_pages_fit_a_phone_and_a_desk_in_both_themes(
    stack: Settings, serve: Serve, page: Page, screenshots: Path
) -> None:
    with own_database(stack) as database:
        fill(database)
        proven(database)
        address = serve(database)
        for scheme, width in (("light", 1440), ("dark", 390)):
            page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
            page.set_viewport_size({"width": width, "height": 900})
            for place, found in enumerate(load_pages()):
                page.goto(f"{address}/{found.path if place else ''}")
                expect(page.get_by_role("heading", name=found.page.title, exact=True, level=1)).to_be_visible()
                if found in RENDERED:
                    expect(page.locator(".gs-panel").first).to_be_visible()
                    paper = page.locator(".gs-panel").first.evaluate("one => getComputedStyle(one).backgroundColor")
                    brightness = sum(map(int, re.findall(r"\d+", paper)[:3]))
                    assert (brightness < 200) == (scheme == "dark"), (found.name, paper)
                wider = page.locator('[data-testid="stMain"]').evaluate("one => one.scrollWidth - one.clientWidth")
                assert wider <= 0, (found.name, width)
                page.screenshot(path=screenshots / f"{found.name}-{scheme}-{width}.png", full_page=True)


def test_a_page_without_tables_says_what_to_do_and_recovers_by_itself(
    stack: Settings, serve: Serve, page: Page
) -> None:
    with own_database(stack, tables=False) as database:
        address = serve(database)
        page.goto(f"{address}/platform")
        expect(panel(page, "alerts").get_by_text("gamestream apply")).to_be_visible()
        page.goto(f"{address}/quality")
        expect(panel(page, "trend").get_by_text("gamestream apply")).to_be_visible()
        tables = engine(database)
        load_metadata().create_all(tables)
        tables.dispose()
        expect(panel(page, "trend").get_by_text("gamestream reconcile")).to_be_visible()

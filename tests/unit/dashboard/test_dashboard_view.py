"""What the leaderboards page draws, from descriptions and rows alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.dashboard.files import report_files
from gamestream_dagster.dashboard.markup import markup
from gamestream_dagster.dashboard.pages.leaderboards.snapshot import Proof, Snapshot, read_snapshot
from gamestream_dagster.dashboard.pages.leaderboards.view import (
    badges,
    board_view,
    in_reading_order,
    remember,
    subject_column,
)
from gamestream_dagster.dashboard.parts import Tone, ago
from gamestream_dagster.dashboard.reports import safe_report
from gamestream_dagster.settings import load_settings
from tests.support.fakes.board_rows import HOSTILE, board_rows
from tests.support.fakes.verdicts import finished

BOARDS = {name: board for name, board in load_boards().items() if board.ranked}
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def looked(**changed: object) -> Snapshot:
    rows = {name: tuple(content) for name, content in board_rows().items()}
    values = {"read_at": NOW, "rows": rows, "job_states": {board.job: "RUNNING" for board in BOARDS.values()}}
    return Snapshot(**(values | changed))  # type: ignore[arg-type]


def proven(board: str = "top_players", differing: dict[int | None, tuple[str, ...]] | None = None, **changed: object):
    """Proofs of a board and of its neighbours: the newest run about them, and what it found on the board."""
    accepted = bool(changed.pop("accepted", False))
    run = finished(**{"at": NOW - timedelta(minutes=3), **changed})  # type: ignore[arg-type]
    found = {name: Proof(run, accepted=True) for name in BOARDS if run.about(name)}
    return {"proofs": found | ({board: Proof(run, differing, accepted)} if differing else {})}


def labels(snapshot: Snapshot, board: str = "top_players") -> dict[str, Tone]:
    return {badge.label: badge.tone for badge in badges(BOARDS[board], snapshot)}


def test_who_a_row_is_about_follows_from_the_roles() -> None:
    assert {name: subject_column(board) for name, board in BOARDS.items()} == {
        "top_players": "user_id",
        "top_teams": "team_name",
        "team_mvps": "user_id",
        "hot_streaks": "user_id",
    }


def test_lines_show_rank_value_and_a_bar_against_the_first() -> None:
    view = board_view(BOARDS["top_players"], looked(), None)
    assert [line.rank for line in view.lines] == list(range(1, 11))
    assert (view.lines[0].value, view.lines[0].share_of_bar) == ("1,130", 1.0)
    assert view.lines[1].share_of_bar == pytest.approx(1103 / 1130, abs=1e-4)


def test_a_share_is_in_per_cent_with_its_integers_and_another_ratio_is_a_factor() -> None:
    mvp = board_view(BOARDS["team_mvps"], looked(), None)
    assert (mvp.measure, mvp.lines[0].value, mvp.lines[0].about) == ("share", "91.0 %", "Team 1 · 910 of 1,000")
    streak = board_view(BOARDS["hot_streaks"], looked(), None)
    assert streak.lines[0].value == "2.07×"


def test_totals_come_first_and_windows_last() -> None:
    assert [board.name for board in in_reading_order(BOARDS.values())] == [
        "top_players",
        "top_teams",
        "team_mvps",
        "hot_streaks",
    ]


def test_what_moved_is_marked_against_what_this_reader_saw() -> None:
    board = BOARDS["top_players"]
    first = looked()
    seen = remember(board, first)
    rows = [dict(row) for row in first.rows["top_players"]]
    rows[0]["user_id"], rows[1]["user_id"] = rows[1]["user_id"], rows[0]["user_id"]
    rows[5]["total_score"] += 1
    rows[9]["user_id"] = "stranger"
    after = looked(rows={"top_players": tuple(rows)})
    moved = [line.moved for line in board_view(board, after, seen).lines]
    assert moved == ["up", "down", "", "", "", "changed", "", "", "", "new"]
    assert {line.moved for line in board_view(board, after, None).lines} == {""}


def test_badges_of_a_running_and_proven_board() -> None:
    assert labels(looked(**proven())) == {"live": Tone.LIVE, "verified 3 min ago": Tone.GOOD}
    [badge] = [one for one in badges(BOARDS["top_players"], looked(**proven())) if one.tone is Tone.GOOD]
    assert "Verified by run r1" in badge.hint
    streaks = labels(looked(**proven()), "hot_streaks")
    assert any(label.startswith("settled ") for label in streaks)


def test_badges_never_say_verified_without_a_proof() -> None:
    assert labels(looked())["not verified yet"] is Tone.WARN
    failed = proven(verdict="COULD_NOT_RUN", reason="no checkpoint")
    assert labels(looked(**failed))["not verified"] is Tone.WARN
    old = proven(at=NOW - timedelta(hours=2))
    assert labels(looked(**old))["verified 2 h ago"] is Tone.WARN


def test_a_run_about_other_boards_proves_nothing_here() -> None:
    snapshot = looked(**proven(boards=frozenset({"top_teams"})))
    assert labels(snapshot)["not verified yet"] is Tone.WARN
    assert labels(snapshot, "top_teams")["verified 3 min ago"] is Tone.GOOD


def test_a_differing_row_is_marked_and_its_board_is_not_verified() -> None:
    snapshot = looked(**proven(verdict="DIFFERENT", differing={2: ("UNEXPLAINED",)}))
    assert labels(snapshot)["1 row differs · 3 min ago"] is Tone.BAD
    lines = board_view(BOARDS["top_players"], snapshot, None).lines
    assert "UNEXPLAINED" in lines[1].warning
    assert not lines[0].warning
    assert labels(snapshot, "top_teams")["verified 3 min ago"] is Tone.GOOD


def test_rows_that_the_policy_accepts_are_neither_wrong_nor_verified() -> None:
    found = proven(verdict="EXPLAINED", differing={2: ("LATE",), 3: ("LATE",)}, accepted=True)
    assert labels(looked(**found)) == {"live": Tone.LIVE, "2 rows explained · 3 min ago": Tone.PLAIN}


def test_a_job_that_is_down_is_not_live() -> None:
    state = {board.job: "FAILED" for board in BOARDS.values()}
    assert labels(looked(job_states=state))["failed"] is Tone.BAD


def test_empty_and_missing_boards_say_what_to_do() -> None:
    assert "gamestream simulate" in board_view(BOARDS["top_teams"], looked(rows={}), None).empty
    missing = looked(rows={}, missing=frozenset({"top_teams"}))
    assert "gamestream apply" in board_view(BOARDS["top_teams"], missing, None).empty


@pytest.mark.parametrize("name", [HOSTILE, '" onmouseover="x', "'><img src=x onerror=x>", "{{ 7*7 }}"])
def test_hostile_names_are_text(name: str) -> None:
    rows = [dict(row) for row in board_rows()["top_players"]]
    rows[0] |= {"user_id": name, "team_name": name}
    view = board_view(BOARDS["top_players"], looked(rows={"top_players": tuple(rows)}), None)
    html = markup("leaderboards/boards", boards=[view], theme="auto")
    assert "<script" not in html
    assert "<img" not in html
    assert '" onmouseover' not in html
    assert "49" not in html.replace("949", "")


def test_a_server_that_is_away_is_a_problem_with_a_command_and_without_the_password(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, postgres_port=9, postgres_password="canary-password")
    problem = read_snapshot(engine(settings), BOARDS).problem
    assert problem is not None
    assert problem.command == "gamestream up"
    assert "canary-password" not in f"{problem}"


def test_only_a_report_of_the_home_is_shown(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "run.html").write_text("fine", encoding="utf-8")
    (tmp_path / "secret.html").write_text("no", encoding="utf-8")
    assert safe_report(reports, "run.html") == reports / "run.html"
    assert safe_report(reports, str(reports / "run.html")) == reports / "run.html"
    assert safe_report(reports, "../secret.html") is None
    assert safe_report(reports, str(tmp_path / "secret.html")) is None
    assert safe_report(reports, "gone.html") is None
    assert safe_report(reports, None) is None


def test_ages() -> None:
    ages = [ago(timedelta(seconds=seconds)) for seconds in (-5, 12, 200, 7300, 200_000)]
    assert ages == ["just now", "just now", "3 min ago", "2 h ago", "2 d ago"]


class FilesClient:
    """Asks the route, without a server."""

    def __init__(self, app: Starlette) -> None:
        self._transport = httpx.ASGITransport(app)

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://127.0.0.1:8501") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(ask())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


@pytest.fixture
def files(tmp_path: Path) -> FilesClient:
    reports = tmp_path / "reports"
    (reports / "data_docs").mkdir(parents=True)
    (reports / ".data_docs-half").mkdir()
    (reports / "run.html").write_text("<h1>fine</h1>", encoding="utf-8")
    (reports / "data_docs" / "data_docs.css").write_text("b {}", encoding="utf-8")
    for hidden in (tmp_path / "secret.html", reports / ".data_docs-half" / "index.html", reports / "run.json"):
        hidden.write_text("secret", encoding="utf-8")
    (reports / "link.html").symlink_to(tmp_path / "secret.html")
    return FilesClient(Starlette(routes=[report_files(reports)]))


def test_reports_are_served_with_a_policy_that_runs_nothing(files: FilesClient) -> None:
    page = files.get("/reports/run.html")
    assert (page.status_code, page.text) == (200, "<h1>fine</h1>")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self' 'unsafe-inline'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert files.get("/reports/data_docs/data_docs.css").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.html", "..%2fsecret.html", "%2e%2e/secret.html", "data_docs/../../secret.html", "/etc/passwd"),
        *("link.html", "run.json", "gone.html", "", "data_docs", ".data_docs-half/index.html"),
    ],
)
def test_nothing_else_is_served(files: FilesClient, path: str) -> None:
    answer = files.get(f"/reports/{path}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_is_written(files: FilesClient, method: str) -> None:
    assert files.request(method, "/reports/run.html").status_code == 405


def test_a_foreign_name_of_this_machine_gets_nothing(files: FilesClient) -> None:
    assert files.get("/reports/run.html", headers={"host": "rebound.example"}).status_code == 400


def test_the_address_of_a_report_is_the_dashboards(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, port_base=30000)
    address = f"{settings.dashboard_url}/reports"
    assert settings.report_url(settings.reports_dir / "reconciliation" / "a b.html") == (
        f"{address}/reconciliation/a%20b.html"
    )
    assert settings.report_url("/elsewhere/x.html") == "file:///elsewhere/x.html"

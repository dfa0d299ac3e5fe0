"""What the batch recompute asks Flink for: exactly the archive's files, its numbers; and nothing is left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.seasons import season_at
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.recompute import flink_recompute
from gamestream_dagster.reconciliation.recompute.boards import Ask, board_rows
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource, Counterfactual, EventsAt
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.reconciliation.recompute.flink_recompute import (
    RECOMPUTE_SQL,
    BatchSource,
    FlinkBoards,
    board_query,
    file_pattern,
    together_query,
)
from gamestream_dagster.settings import RecomputeEngine, Season, SettingsError, load_settings
from tests.support.archive_maker import make_archive, open_folder
from tests.support.fakes.streams import SCORES
from tests.support.reference_model import Event

BOARDS = {name: board for name, board in load_boards().items() if (board.folder / RECOMPUTE_SQL).exists()}
WINDOWED = next(board for board in BOARDS.values() if board.window is not None)
PLAIN = next(board for board in BOARDS.values() if board.window is None)
NOW = EventsAt(ArchiveSource(Path("/archive/user-score"), late_ms=5_000), {0: 3})


def test_the_pattern_takes_the_named_files_and_no_other():
    named = ["date=2026-11-21/hour=07/0-0-9.parquet", "date=2026-11-21/hour=07/1-0-9.parquet", "2-0-9.parquet"]
    others = [
        "date=2026-11-21/hour=08/0-0-9.parquet",
        "date=2026-11-21/hour=07/0-0-9.parquet.new",
        "date=2026-11-21/hour=07/0-0-99.parquet",
        "date=2026-11-21/hour=07/10-0-9.parquet",
        "date=2026-11-21/hour=07/0-0-9_parquet",
        "0-0-9.parquet",
        "kept/2-0-9.parquet",
    ]
    folder = Path("/home/a+b (1)/user-score")
    pattern = re.compile(file_pattern(folder, named))
    assert [path for path in named + others if pattern.fullmatch(f"{folder}/{path}")] == named
    assert not pattern.fullmatch(f"/elsewhere/user-score/{named[0]}")


def test_numbers_are_put_in_and_nothing_else():
    sql = board_query(Ask(WINDOWED, rows=7, as_of=1_700_000_000_000), NOW)
    assert "1700000000000 - 60000" in sql
    assert "rnk <= 7" in sql
    assert "$" not in sql
    assert "--" not in sql


def test_a_window_must_be_named():
    with pytest.raises(BoardNotUsableError, match="say which with `as_of`"):
        board_query(Ask(WINDOWED), NOW)


def test_a_board_without_a_batch_query_is_told_with_the_way_out(tmp_path):
    with pytest.raises(
        BoardNotUsableError, match=r"recompute\.flink\.sql is missing.*GAMESTREAM_RECOMPUTE_ENGINE=duckdb"
    ):
        board_query(Ask(PLAIN.model_copy(update={"folder": tmp_path})), NOW)


def test_another_parameter_is_refused(tmp_path):
    (tmp_path / RECOMPUTE_SQL).write_text("SELECT $ranks", encoding="utf-8")
    with pytest.raises(BoardNotUsableError, match=r"uses \$ranks, which is not given; use rows"):
        board_query(Ask(PLAIN.model_copy(update={"folder": tmp_path})), NOW)


def test_boards_asked_together_have_the_same_columns():
    sql = together_query([Ask(WINDOWED, as_of=5_000), Ask(PLAIN)], NOW)
    columns = {*WINDOWED.columns, *PLAIN.columns}
    outer = [line for line in sql.splitlines() if re.match(r"SELECT \d AS ask", line)]
    assert len(outer) == 2
    for line in outer:
        assert set(re.findall(r"`(\w+)`", line)) == columns


def test_the_cut_and_the_path_are_literals_of_their_kind(tmp_path):
    source = BatchSource(tmp_path / "it's", (), {1: 20, 0: 10}, event_ids=True)
    archive, cut, _, counted, _, _ = source.definitions
    assert "it''s" in archive or "it%27s" in archive
    assert "(0, 10), (1, 20)" in cut
    assert "event_id <> ''" in counted
    without = BatchSource(tmp_path, (), {0: 1}, event_ids=False).definitions
    assert not any("event_id <> ''" in statement for statement in without)


def test_a_season_must_be_named_and_its_events_alone_count(tmp_path):
    [board, *_] = (board for board in load_boards(season=Season.DAILY).values() if board.season_column is not None)
    with pytest.raises(BoardNotUsableError, match="say which with `season`"):
        board_query(Ask(board), NOW)
    season = season_at(Season.DAILY, 1_700_000_000_000)
    assert f"CAST({season.start} AS BIGINT) AS {board.season_column}" in board_query(
        Ask(board), replace(NOW, season=season)
    )
    events = BatchSource(tmp_path, (), {0: 1}, event_ids=True, season=season).definitions[-1]
    assert f"event_time_millis >= {season.start} AND event_time_millis < {season.end}" in events


@pytest.fixture
def archive(tmp_path):
    return make_archive(tmp_path / "user-score", [Event(0, n, "u", "t", "T", 5, 1_000) for n in range(3)])


@pytest.fixture
def by_flink(tmp_path):
    return load_settings(home=tmp_path / "home", port_base=40_000, recompute_engine="flink")


def test_the_setting_chooses_the_engine(by_flink, archive, tmp_path):
    with open_recompute(by_flink, SCORES) as one:
        assert type(one.engine) is FlinkBoards
    duckdb = by_flink.model_copy(update={"recompute_engine": RecomputeEngine.DUCKDB})
    with open_recompute(duckdb, SCORES) as other:
        assert other.engine is None
    with pytest.raises(SettingsError, match="recompute_engine"):
        load_settings(home=tmp_path, recompute_engine="spark")


def test_without_flink_it_could_not_look(by_flink, archive, tmp_path):
    with open_folder(archive, tmp_path, engine=FlinkBoards(by_flink)) as opened:
        at = opened.at({0: 3})
        with pytest.raises(TransientServiceError, match="nothing answers"):
            board_rows(opened, at, PLAIN)
        assert board_rows(opened, opened.at({}), PLAIN) == []  # nothing is before this cut: nobody is asked
        supposed = replace(at, hypothesis=Counterfactual(removed=((0, 0, 0),)))  # hypotheses are DuckDB's
        assert board_rows(opened, supposed, PLAIN) != []


class FakeFlink:
    """Gateway and JobManager in one: keeps what it was asked; `answer` gives the result page of a SELECT."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self.answer = answer
        self.statements: list[str] = []
        self.name = ""
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        body = json.loads(request.content) if request.content else {}
        match request.method, request.url.path.split("/")[-1]:
            case "POST", "sessions":
                self.name = body["properties"]["pipeline.name"]
                return httpx.Response(200, json={"sessionHandle": "s"})
            case "POST", "statements":
                self.statements.append(body["statement"])
                return httpx.Response(200, json={"operationHandle": "o"})
            case "GET", "0" if self.statements[-1].startswith("SELECT"):
                return self.answer()
            case "GET", "0":
                return page([], [], "EOS")
            case "GET", "overview":
                job = {"jid": "j", "name": self.name, "state": "RUNNING", "start-time": 1, "end-time": -1}
                other = job | {"jid": "k", "name": "leaderboards_v1@01234567-g1"}
                return httpx.Response(200, json={"jobs": [job, other]})
            case _:
                return httpx.Response(200, json={})


def page(columns: list[str], rows: list[list[object]], kind: str) -> httpx.Response:
    results = {
        "columns": [{"name": name} for name in columns],
        "data": [{"kind": "INSERT", "fields": row} for row in rows],
    }
    return httpx.Response(200, json={"resultType": kind, "results": results})


@pytest.fixture
def flink(monkeypatch):
    def using(answer: Callable[[], httpx.Response]) -> FakeFlink:
        fake = FakeFlink(answer)
        transport = httpx.MockTransport(fake)
        gateway, rest = flink_recompute.SqlGateway, flink_recompute.FlinkRest
        monkeypatch.setattr(flink_recompute, "SqlGateway", lambda url: gateway(url, transport=transport))
        monkeypatch.setattr(flink_recompute, "FlinkRest", lambda url: rest(url, transport=transport))
        return fake

    return using


def test_rows_come_in_the_order_of_the_ranks(flink, by_flink, archive, tmp_path):
    columns = ["ask", *PLAIN.columns]
    rows = [[0, *(rank if name == PLAIN.rank_column else "x" for name in PLAIN.columns)] for rank in (2, 1)]
    pages = [page(columns, rows, "PAYLOAD"), page(columns, [], "EOS")]
    fake = flink(lambda: pages.pop(0))
    with open_folder(archive, tmp_path, engine=FlinkBoards(by_flink)) as opened:
        assert [row[PLAIN.rank_column] for row in board_rows(opened, opened.at({0: 3}), PLAIN)] == [1, 2]
    assert any("0\\-0\\-2\\.parquet" in statement for statement in fake.statements)
    assert not any(call.startswith("PATCH") for call in fake.calls)


def test_a_job_that_fails_is_cancelled_by_its_name_and_no_other(flink, by_flink, archive, tmp_path):
    stack = (
        "org.apache.flink.runtime.JobException: it failed\n  at x\nCaused by: java.io.IOException: disk full\n  at y"
    )
    fake = flink(lambda: httpx.Response(500, json={"errors": ["Internal server error.", stack]}))
    with (
        open_folder(archive, tmp_path, engine=FlinkBoards(by_flink)) as opened,
        pytest.raises(CouldNotLookError, match=r"disk full; see the JobManager's log, or let DuckDB recompute with"),
    ):
        board_rows(opened, opened.at({0: 3}), PLAIN)
    assert [call for call in fake.calls if call.startswith("PATCH")] == ["PATCH /jobs/j"]
    assert "DELETE /v1/sessions/s" in fake.calls


def test_an_interrupt_leaves_no_job_and_no_session(flink, by_flink, archive, tmp_path):
    def interrupt() -> httpx.Response:
        raise KeyboardInterrupt

    fake = flink(interrupt)
    with open_folder(archive, tmp_path, engine=FlinkBoards(by_flink)) as opened, pytest.raises(KeyboardInterrupt):
        board_rows(opened, opened.at({0: 3}), PLAIN)
    assert "PATCH /jobs/j" in fake.calls
    assert "DELETE /v1/sessions/s" in fake.calls

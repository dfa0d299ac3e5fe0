"""The batch recompute on real Flink: the rows of the cases, of the model, of DuckDB; and nothing it should not read.

A job costs seconds here, however few events it reads. So the boards of a world are asked for by one job, and a few
generated worlds of many events stand for many small ones; tests/unit/reconciliation/test_engines_model.py has those.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.seasons import SeasonSpan, season_at
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.flink_jobs.spec.job_spec import parse_flink_job_name
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.recompute.boards import Ask, board_rows
from gamestream_dagster.reconciliation.recompute.events_at import Counterfactual
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.reconciliation.recompute.flink_recompute import (
    RECOMPUTE_SQL,
    FlinkBoards,
)
from gamestream_dagster.settings import RecomputeEngine, Season, Settings
from tests.support import reference_model as model
from tests.support.archive_maker import TOPIC, archive_records, make_archive, open_folder
from tests.support.fakes.streams import SCORES
from tests.support.generated_logs import AS_OF
from tests.support.reference_model import Event
from tests.support.sql_cases import Case, assert_rows, load_cases

BOARDS = {name: board for name, board in load_boards().items() if board.ranked}
MODEL = {"top_teams": model.top_teams, "top_players": model.top_players, "team_mvps": model.team_mvps}


def in_flink(case: Case) -> bool:
    """Whether Flink can recompute its outputs: all boards, but not every other output."""
    return case.source == SCORES and all((one.folder / "recompute.flink.sql").is_file() for one in case.boards)


def test_every_board_has_a_case_in_flink() -> None:
    assert BOARDS.keys() <= {board.name for case in filter(in_flink, load_cases()) for board in case.boards}


@pytest.mark.parametrize("case", [case for case in load_cases() if in_flink(case)], ids=str)
def test_the_batch_gives_the_rows_of_a_case(stack: Settings, case: Case, tmp_path: Path):
    archive = archive_records(
        tmp_path / "user-score",
        {(record.partition, record.offset): (record.value, record.kafka_time) for record in case.records},
    )
    by_season: dict[SeasonSpan | None, list[tuple[Ask, list[dict[str, Any]]]]] = defaultdict(list)
    for board in case.boards:
        if board.window is not None:
            by_season[None] += [(Ask(board, as_of=tick), rows) for tick, rows in case.ticks[board.name].items()]
        elif (column := board.season_column) is None:
            by_season[None].append((Ask(board), case.expected[board.name]))
        else:
            for start in {row[column] for row in case.expected[board.name]}:
                rows = [row for row in case.expected[board.name] if row[column] == start]
                by_season[season_at(Season.DAILY, start)].append((Ask(board), rows))
    with open_folder(archive, tmp_path) as opened:
        for season, wanted in by_season.items():
            at = replace(opened.at(case.cut), season=season)
            found = FlinkBoards(stack).together(opened, at, [ask for ask, _ in wanted])
            for rows, (ask, expected) in zip(found, wanted, strict=True):
                assert_rows(ask.board, rows, expected)


def world(seed: int, partitions: int, events: int) -> list[Event]:
    """Many ties, copies near and far, some keyed wrongly, refused records, lateness, names and ids of all scripts."""
    rng = random.Random(seed)
    players = [f"{name}{number}" for name in ("p", "é", "\U0001f600", "Z") for number in range(12)]
    sent: list[Event] = []
    offsets = dict.fromkeys(range(partitions), 0)
    for number in range(events):
        if sent and rng.random() < 0.1:
            first = rng.choice(sent)
            partition = rng.randrange(partitions) if rng.random() < 0.1 else first.partition
            place = {"partition": partition, "offset": offsets[partition], "accepted": rng.random() > 0.1}
            event = Event(**{**vars(first), **place, "kafka_time": first.arrived + rng.choice([0, 1, 900_000])})
        else:
            player = rng.randrange(len(players))
            at = AS_OF - rng.choice([0, 1, 10_000, 10_001, 60_000, 60_001, rng.randrange(70_000), 600_000])
            event = Event(
                partition=player % partitions,
                offset=offsets[player % partitions],
                user_id=players[player],
                team_id=f"t{player % 13}" if rng.random() < 0.95 else "other",
                team_name=rng.choice(["Lions", "lions", "Ö", "\U0001f981", ""]),
                score=rng.choice([0, 1, 2, 3, 1_500_000_000, 1_000_000_000_000]),
                event_time_millis=at,
                event_id=f"e{number}" if rng.random() < 0.8 else None,
                kafka_time=at + rng.choice([0, 4_000, 90_000]),
                accepted=rng.random() > 0.05,
            )
        sent.append(event)
        offsets[event.partition] = event.offset + rng.choice([1, 1, 1, 2])
    return sent


@pytest.mark.parametrize(("seed", "partitions", "events"), [(1, 1, 60), (2, 3, 3_000), (3, 6, 3_000)])
def test_model_duckdb_and_flink_give_the_same_rows(
    stack: Settings, tmp_path: Path, seed: int, partitions: int, events: int
):
    sent = world(seed, partitions, events)
    end = {event.partition: event.offset + 1 for event in sent}
    rng = random.Random(seed)
    cut = {partition: rng.randrange(at // 2, at + 1) for partition, at in end.items()}
    archive = make_archive(tmp_path / "user-score", sent)
    windows = [board for board in BOARDS.values() if board.window is not None]
    asks = [Ask(BOARDS[name], rows=25) for name in MODEL] + [Ask(board, as_of=AS_OF) for board in windows]
    with open_folder(archive, tmp_path) as opened:
        for offsets in (cut, end):
            counted = model.before(model.counted(sent), offsets)
            at = opened.at(offsets)
            found = FlinkBoards(stack).together(opened, at, asks)
            for ask, rows in zip(asks, found, strict=True):
                assert_rows(ask.board, rows, board_rows(opened, at, ask.board, ask.rows, ask.as_of))
                by_model = MODEL.get(ask.board.name)
                expected = by_model(counted, 25) if by_model else model.hot_streaks(counted, AS_OF)
                assert_rows(ask.board, rows, expected)
                assert rows, "a world without a row on this board proves nothing"


def test_only_what_the_manifest_names_is_read(stack: Settings, tmp_path: Path):
    sent = [Event(0, offset, "u", "t", "T", 5, AS_OF) for offset in range(3)]
    archive = make_archive(tmp_path / "user-score", sent)
    [file] = archive.glob("*.parquet")
    shutil.copy(file, archive / "0-0-1.parquet")  # left by a crash: the same offsets under another name
    shutil.copy(file, archive / (file.name + ".new"))
    (archive / "date=2023-11-14").mkdir()
    shutil.copy(file, archive / "date=2023-11-14" / file.name)
    players = BOARDS["top_players"]
    with open_folder(archive, tmp_path, engine=FlinkBoards(stack)) as opened:
        at = opened.at({0: 3})
        assert board_rows(opened, at, players)[0]["total_score"] == 15
        assert board_rows(opened, opened.at({0: 2}), players)[0]["total_score"] == 10
        assert board_rows(opened, opened.at({}), players) == []
        supposed = replace(at, hypothesis=Counterfactual(removed=((0, 0, 0),)))
        assert board_rows(opened, supposed, players)[0]["total_score"] == 10


def running(settings: Settings) -> set[str]:
    with FlinkRest(settings.flink_rest) as flink:
        return {one.name for one in flink.jobs() if one.name.startswith("recompute-") and not one.state.ended}


def gone(settings: Settings) -> bool:
    deadline = time.monotonic() + 30
    while running(settings):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def slow_board(folder: Path):
    """A board whose query takes minutes: pairs of all events, row by row, so that a cancel is heeded at once."""
    (folder / RECOMPUTE_SQL).write_text(
        "SELECT CAST(COUNT(*) AS BIGINT) AS rnk, MAX(a.team_id) AS team_id, MAX(b.team_name) AS team_name, "
        "CAST(SUM(CHAR_LENGTH(REPEAT(a.user_id, 20000 + MOD(a.score, $rows)))) AS BIGINT) AS total_score "
        "FROM events AS a, events AS b WHERE a.`offset` <> b.`offset`",
        encoding="utf-8",
    )
    return BOARDS["top_teams"].model_copy(update={"folder": folder})


def test_a_job_beyond_its_limit_is_cancelled_and_nothing_stays(stack: Settings, tmp_path: Path):
    sent = [Event(0, offset, f"u{offset}", "t", "T", 5, AS_OF) for offset in range(2_000)]
    archive = make_archive(tmp_path / "user-score", sent)
    told: list[str] = []
    names: set[str] = set()
    watcher = threading.Event()

    def watch() -> None:
        while not watcher.wait(0.5):
            names.update(running(stack))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with (
            open_folder(archive, tmp_path, engine=FlinkBoards(stack, told.append, limit_seconds=12)) as opened,
            pytest.raises(TransientServiceError, match="not done within 12 s and was cancelled"),
        ):
            board_rows(opened, opened.at({0: 2_000}), slow_board(tmp_path))
    finally:
        watcher.set()
        thread.join(10)
    assert gone(stack)
    assert names, "it never ran"
    assert [parse_flink_job_name(name) for name in names] == [None]  # the job manager takes it for none of its own
    assert any("steps done" in line for line in told)


def test_what_does_not_run_is_told_apart(stack: Settings, tmp_path: Path):
    archive = make_archive(tmp_path / "user-score", [Event(0, 0, "u", "t", "T", 5, AS_OF)])
    board = BOARDS["top_teams"].model_copy(update={"folder": tmp_path})
    with open_folder(archive, tmp_path, engine=FlinkBoards(stack)) as opened:
        (tmp_path / RECOMPUTE_SQL).write_text("SELECT no_such_column FROM events LIMIT $rows", encoding="utf-8")
        with pytest.raises(BoardNotUsableError, match=r"does not run on Flink: .*no_such_column"):
            board_rows(opened, opened.at({0: 1}), board)
        (tmp_path / RECOMPUTE_SQL).write_text(
            "SELECT CAST(1 / (score - 5) AS BIGINT) AS rnk, team_id, team_name, score AS total_score FROM events",
            encoding="utf-8",
        )
        with pytest.raises(CouldNotLookError, match=r"top_teams failed: .*by zero.*GAMESTREAM_RECOMPUTE_ENGINE=duckdb"):
            board_rows(opened, opened.at({0: 1}), board)
    assert gone(stack)


def test_the_setting_chooses_the_engine(stack: Settings, tmp_path: Path):
    elsewhere = stack.model_copy(update={"home": tmp_path})
    make_archive(elsewhere.archive_dir / TOPIC, [Event(0, 0, "u", "t", "T", 5, AS_OF)])
    elsewhere.batch_jars_dir.parent.mkdir(parents=True, exist_ok=True)
    elsewhere.batch_jars_dir.symlink_to(stack.batch_jars_dir)
    by_flink = elsewhere.model_copy(update={"recompute_engine": RecomputeEngine.FLINK})
    with open_recompute(by_flink, SCORES) as one, open_recompute(elsewhere, SCORES) as other:
        assert isinstance(one.engine, FlinkBoards)
        assert other.engine is None
        rows = board_rows(one, one.at({0: 1}), BOARDS["top_teams"])
        assert rows == board_rows(other, other.at({0: 1}), BOARDS["top_teams"])

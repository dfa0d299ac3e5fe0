"""The cases of `flink_sql/*/tests` through the recompute; tests/integration/test_sql_cases.py is the Flink side."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.seasons import length_millis, season_at, shift_millis
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.factory import archive_of
from gamestream_dagster.reconciliation.recompute.facts import season_starts
from gamestream_dagster.settings import Ranks, Season
from tests.support.archive_maker import archive_records
from tests.support.sql_cases import FLINK_SQL_DIR, Case, assert_rows, load_cases

CASES = load_cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_recompute_gives_the_rows(case: Case, tmp_path: Path):
    folder = archive_records(
        tmp_path / case.source.topic,
        {(record.partition, record.offset): (record.value, record.kafka_time) for record in case.records},
        case.source,
    )
    with ArchiveDatabase(archive_of(folder, case.source), tmp_path) as archive:
        at = archive.at(case.cut)
        for board in case.boards:
            if board.season_column is not None:
                spans = [
                    season_at(Season.DAILY, start)
                    for start in season_starts(archive, at, length_millis(Season.DAILY), shift_millis(Season.DAILY))
                ]
                rows = [row for span in spans for row in board_rows(archive, replace(at, season=span), board)]
                assert_rows(board, rows, case.expected[board.name])
                continue
            if board.window is None:
                assert_rows(board, board_rows(archive, at, board), case.expected[board.name])
                continue
            ticks = case.ticks[board.name]
            for as_of, expected in ticks.items():
                assert_rows(board, board_rows(archive, at, board, as_of=as_of), expected)
            # The newest tick that a case tells is the last one with rows: readers see this one.
            after = max(ticks) + board.window.tick_seconds * 1000
            assert board_rows(archive, at, board, as_of=after) == []


def test_every_job_with_a_ledger_has_cases():
    boards = load_boards(season=Season.DAILY, ranks=Ranks.ALL).values()
    with_ledger = {name for name, job in load_jobs(season=Season.DAILY, ranks=Ranks.ALL).items() if job.ledgers}
    assert {case.job for case in CASES} == {board.job for board in boards} & with_ledger


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_says_what_it_is_about(case: Case):
    text = yaml.safe_load((FLINK_SQL_DIR / case.job / "tests" / case.name / "input.yaml").read_text(encoding="utf-8"))
    assert text["about"].strip()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("input.yaml", "user_id:", "usr_id:", "usr_id is unknown"),
        ("expect.yaml", "user_id:", "usr_id:", "row 1 of hot_streaks has usr_id"),
        ("expect.yaml", "hot_streaks:", "hot_streak:", "gives other outputs than hot_streaks"),
        ("input.yaml", "at: 65000", "at: 1", "comes too late for hot_streaks"),
    ],
)
def test_a_case_that_cannot_be_used_is_refused(tmp_path: Path, file: str, old: str, new: str, message: str):
    folder = tmp_path / "hot_streaks_v1" / "tests" / "stopped_player_leaves"
    shutil.copytree(FLINK_SQL_DIR / "hot_streaks_v1" / "tests" / "stopped_player_leaves", folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(AssertionError, match=message):
        load_cases(tmp_path)

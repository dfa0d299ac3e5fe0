"""An empty board holds exactly where its recompute is empty: few players, no scores, silent partitions, no seasons."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.settings import Season, Settings, load_settings
from quality import emptiness
from quality.emptiness import Cuts
from quality.results import SuiteState
from tests.support.archive_maker import archive_records
from tests.support.fakes.streams import SCORE_TOPIC

NOW = 1_764_000_000_000
BOARDS = {name: board for name, board in load_boards(season=Season.HOURLY).items() if board.ranked}
ALL = frozenset(range(4))


def event(user: str, score: int, at: int = NOW) -> tuple[bytes, int]:
    value = {"user_id": user, "team_id": "t", "team_name": "T", "score": score, "event_time_millis": at}
    return orjson.dumps(value | {"event_id": f"{user}-{at}"}), at


def stack(tmp_path: Path, records: dict[tuple[int, int], tuple[bytes, int]]) -> Settings:
    settings = load_settings(home=tmp_path)
    archive_records(settings.archive_dir / SCORE_TOPIC, records)
    return settings.model_copy(update={"season": Season.HOURLY})


def rows(settings: Settings, board: str, low: dict[int, int]) -> int:
    return emptiness.recomputed_rows(settings, BOARDS[board], Cuts(low, ALL))


def test_one_player_with_score_0_stands_on_the_boards_of_sums_alone(tmp_path: Path) -> None:
    settings = stack(tmp_path, {(0, 0): event("ada", 0)})
    found = {board: rows(settings, board, {0: 1}) for board in BOARDS}
    assert {board for board, count in found.items() if count} == {
        *("top_players", "top_teams", "season_players", "season_teams")
    }


def test_before_the_first_event_of_the_cut_no_board_has_a_row(tmp_path: Path) -> None:
    settings = stack(tmp_path, {(0, 0): event("ada", 5)})
    assert {rows(settings, board, {0: 0, 1: 0}) for board in BOARDS} == {0}


def test_hot_streaks_are_due_only_when_no_partition_is_silent(tmp_path: Path) -> None:
    early = {(partition, 0): event(f"u{partition}", 5) for partition in range(3)}
    later = {(partition, 1): event(f"u{partition}", 5, NOW + 60_000) for partition in range(3)}
    low = dict.fromkeys(range(3), 2)
    silent = stack(tmp_path / "silent", early | later)
    assert rows(silent, "hot_streaks", low) == 0
    spoken = stack(tmp_path / "spoken", early | later | {(3, 0): event("u3", 5, NOW + 60_000)})
    assert rows(spoken, "hot_streaks", low | {3: 1}) == 3


@pytest.mark.parametrize(
    ("cuts", "state", "told"),
    [
        (None, SuiteState.NOT_RUN, "gamestream reconcile"),
        (Cuts({0: 1}, ALL), SuiteState.FAILS, "its recompute gives 1"),
        (Cuts({0: 0}, ALL), SuiteState.HOLDS, "its recompute gives none"),
    ],
)
def test_the_verdict_on_an_empty_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: Cuts | None, state: SuiteState, told: str
) -> None:
    settings = stack(tmp_path, {(0, 0): event("ada", 5)})
    monkeypatch.setattr(emptiness, "newest_cuts", lambda *_: cuts)
    found = emptiness.empty_board(BOARDS["top_players"], settings)
    assert found.state is state
    assert told in found.sentence


def test_an_archive_that_cannot_be_read_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = stack(tmp_path, {(0, 0): event("ada", 5)})
    next((settings.archive_dir / SCORE_TOPIC).glob("*.parquet")).unlink()
    monkeypatch.setattr(emptiness, "newest_cuts", lambda *_: Cuts({0: 1}, ALL))
    found = emptiness.empty_board(BOARDS["top_players"], settings)
    assert found.state is SuiteState.FAILS
    assert "no recompute says" in found.sentence


@pytest.mark.parametrize(
    ("records", "state"), [(0, SuiteState.HOLDS), (3, SuiteState.NOT_RUN)], ids=["no event", "not archived"]
)
def test_an_empty_archive_is_compared_with_the_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int, state: SuiteState
) -> None:
    class Admin:
        def __init__(self, _: str) -> None:
            pass

        def end_offsets(self, _: str) -> dict[int, int]:
            return {0: records, 1: 0}

    monkeypatch.setattr(emptiness, "KafkaAdmin", Admin)
    assert emptiness.empty_archive("scores", load_settings(home=tmp_path)).state is state

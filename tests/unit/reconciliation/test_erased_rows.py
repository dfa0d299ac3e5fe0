"""Rows that still count an erased player: `ERASED` where exactly the erased records are the difference, else not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from gamestream_dagster.reconciliation.model.values import Difference, Row
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from tests.support import reference_model as model
from tests.support.cause_worlds import MINUTE, Sent, World, copy_of, explained, players, steady

ANN = "ann"
PAGE = Path(__file__).parents[3] / "docs" / "causes.md"
DECIDED: dict[str, str] = {}
"""Cases of the page's table, and the cause that a test of this file proves."""
Test = TypeVar("Test", bound=Callable[..., None])


def decides(case: str, cause: str) -> Callable[[Test], Test]:
    """A test that is the proof of one row of the table."""

    def noted(test: Test) -> Test:
        DECIDED[case] = cause
        return test

    return noted


def test_every_row_of_the_table_is_proven_here() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("<!-- erased decisions -->")[2].partition("<!-- end")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert {row[0].strip("`"): row[-1].replace("`", "") for row in rows} == DECIDED


@pytest.fixture
def world() -> World:
    """Twelve players of three teams; ann is the third best."""
    others = [replace(one, user="q" + one.user[1:], event_id=None) for one in steady(24, 6)]
    mine = [Sent(ANN, 700 + n, at=n * 20_000, event_id=f"a{n}", team=f"t{n % 2}") for n in range(4)]
    return World({0: [*steady(), *mine], 1: others})


def named(differences: list[Difference]) -> set[str]:
    return {one.cause for one in differences}


def without_ann(rows: list[Row]) -> list[Row]:
    """What the erase leaves of a board whose job still counts the player: the row is deleted, the others stay."""
    return [row for row in rows if row.get("user_id") != ANN]


def refusing(world: World, first: int) -> JobLedger:
    """The count of a job that takes ann's first records alone."""
    left_out = {one.event_id for one in [one for one in world.sent[0] if one.user == ANN][first:]}
    refused = [replace(one, score=-1) if one.event_id in left_out else one for one in world.sent[0]]
    return World({**world.sent, 0: refused}).counted("leaderboards_v1")


def edited(rows: list[Row], rank: int, **changes: object) -> list[Row]:
    return [row | changes if row["rnk"] == rank else row for row in rows]


@decides("displaced", "ERASED")
def test_rows_that_moved_up_in_the_recompute_are_erased(world: World, tmp_path: Path) -> None:
    """Ten ranks of twelve players: without ann the eleventh moves up."""
    shown = without_ann(players(world.truth()))
    assert len(shown) == 9
    found = explained(world, tmp_path, "top_players", shown, erased=ANN)
    assert found
    assert named(found) == {"ERASED"}
    assert all(one.accepted for one in found)
    assert found[0].evidence["erased_in_state"] == 4
    assert found[0].evidence["erase_requests"] == [1]
    assert ANN not in repr(found)


@decides("empty-rank", "ERASED")
def test_a_board_that_is_not_full_has_an_empty_rank(world: World, tmp_path: Path) -> None:
    few = World({0: [one for one in world.sent[0] if one.user in (ANN, "p0", "p1")]})
    found = explained(few, tmp_path, "top_players", without_ann(players(few.truth())), erased=ANN)
    assert named(found) == {"ERASED"}


@decides("totals", "ERASED")
def test_totals_of_teams_are_erased_with_the_offsets_that_make_them(world: World, tmp_path: Path) -> None:
    found = explained(world, tmp_path, "top_teams", model.top_teams(world.truth()), erased=ANN)
    assert named(found) == {"ERASED"}
    told = next(one for one in found if one.entity == ("t0",))
    assert [(one["partition"], one["offset"]) for one in told.evidence["events"]] == [(0, 30), (0, 32)]
    assert told.evidence["events"][0]["reason"] == "ERASED"


def test_best_players_of_teams_are_erased(world: World, tmp_path: Path) -> None:
    shown = without_ann(model.team_mvps(world.truth()))
    found = explained(world, tmp_path, "team_mvps", shown, erased=ANN)
    assert named(found) <= {"ERASED"}


@decides("more", "UNEXPLAINED")
def test_a_row_that_differs_by_more_stays_unexplained(world: World, tmp_path: Path) -> None:
    right = model.top_teams(world.truth())
    shown = edited(right, 1, total_score=right[0]["total_score"] + 1)
    found = explained(world, tmp_path, "top_teams", shown, erased=ANN)
    by_rank = {one.rank: one.cause for one in found if one.rank is not None}
    assert by_rank[1] == "UNEXPLAINED"
    assert set(by_rank.values()) == {"UNEXPLAINED", "ERASED"}


def test_a_player_of_another_total_is_not_erased(world: World, tmp_path: Path) -> None:
    rows = without_ann(players(world.truth()))
    shown = edited(rows, 5, total_score=rows[3]["total_score"] + 1)
    found = explained(world, tmp_path, "top_players", shown, erased=ANN)
    assert {one.cause for one in found if one.rank == 5} == {"UNEXPLAINED"}


@decides("not-counted", "UNEXPLAINED")
def test_a_job_that_says_that_it_left_the_records_out_cannot_have_counted_them(world: World, tmp_path: Path) -> None:
    """The numbers fit, and the job's own count does not bear them out: somebody wrote them."""
    shown = model.top_teams(world.truth())
    left_out = explained(world, tmp_path, "top_teams", shown, erased=ANN, ledger=refusing(world, first=0))
    assert named(left_out) == {"UNEXPLAINED"}


@decides("first-records", "ERASED")
def test_of_a_minute_the_job_may_have_counted_the_first_records_alone(world: World, tmp_path: Path) -> None:
    """It was submitted again while the player still played: from then on it leaves the player out."""
    counted = [event for event in world.truth() if event.user_id != ANN or event.offset < 32]
    shown, ledger = model.top_teams(counted), refusing(world, first=2)
    assert named(explained(world, tmp_path, "top_teams", shown, erased=ANN, ledger=ledger)) == {"ERASED"}


@decides("copies", "ERASED")
def test_a_copy_of_an_erased_record_counts_once(world: World, tmp_path: Path) -> None:
    mine = next(one for one in world.sent[0] if one.event_id == "a0")
    planted = replace(world, sent={**world.sent, 0: [*world.sent[0], copy_of(mine, 2 * MINUTE)]})
    found = explained(planted, tmp_path, "top_teams", model.top_teams(planted.truth()), erased=ANN)
    assert named(found) == {"ERASED"}


@decides("edited", "ERASED + EDITED_BY_HAND")
def test_a_row_that_was_edited_too_has_both_causes(world: World, tmp_path: Path) -> None:
    right = model.top_teams(world.truth())
    mine = next(row for row in right if row["team_id"] == "t0")
    shown = edited(right, mine["rnk"], total_score=mine["total_score"] + 7)
    found = explained(world, tmp_path, "top_teams", shown, kafka=right, erased=ANN)
    assert {one.cause for one in found if one.rank == mine["rnk"]} == {"ERASED + EDITED_BY_HAND"}


@decides("named", "ERASED, never accepted")
def test_a_row_that_still_shows_the_player_is_not_accepted(world: World, tmp_path: Path) -> None:
    found = explained(world, tmp_path, "top_players", players(world.truth()), erased=ANN)
    assert named(found) == {"ERASED"}
    mine = [one for one in found if one.entity == (ANN,)]
    assert mine
    assert not any(one.accepted for one in mine)


def test_without_the_player_there_is_nothing_to_explain(world: World, tmp_path: Path) -> None:
    rest = [event for event in world.truth() if event.user_id != ANN]
    assert explained(world, tmp_path, "top_players", players(rest), erased=ANN) == []
    assert explained(world, tmp_path / "again", "top_teams", model.top_teams(rest), erased=ANN) == []


@decides("not-kept", "UNEXPLAINED")
def test_without_the_kept_counts_nothing_is_erased(world: World, tmp_path: Path) -> None:
    shown = model.top_teams(world.truth())
    assert named(explained(world, tmp_path, "top_teams", shown, erased=ANN, kept=False)) == {"UNEXPLAINED"}


def test_a_blank_name_is_an_erased_one_only_where_the_player_stood(world: World, tmp_path: Path) -> None:
    """As an erase leaves it on the boards of closed seasons."""
    rows = players(world.truth())
    mine = next(row["rnk"] for row in rows if row["user_id"] == ANN)
    found = explained(world, tmp_path, "top_players", edited(rows, mine, user_id=""), erased=ANN)
    assert named(found) == {"ERASED"}
    other = edited(without_ann(rows), 1 if mine != 1 else 2, user_id="")
    told = explained(world, tmp_path / "other", "top_players", other, erased=ANN)
    assert "UNEXPLAINED" in named(told)

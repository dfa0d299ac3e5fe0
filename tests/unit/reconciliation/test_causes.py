"""Each cause alone and in pairs, planted in small worlds: named right, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gamestream_dagster.reconciliation.causes.job_facts import JobFacts, OldRestore
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerFault
from gamestream_dagster.reconciliation.model.values import Cause, Difference, DifferenceKind, Unreadable
from tests.support import reference_model as model
from tests.support.cause_worlds import MINUTE, START, Sent, World, copy_of, explained, players, steady


def named(differences: list[Difference]) -> set[str]:
    return {one.cause for one in differences}


def counted_as_int(events, wrap: bool = True):
    """`SUM` on INT: every sum wraps at 32 bits."""
    rows = players(events, 1000)
    for row in rows:
        row["total_score"] = (row["total_score"] + 2**31) % 2**32 - 2**31
    rows.sort(key=lambda row: (-row["total_score"], row["user_id"]))
    return [{**row, "rnk": rank} for rank, row in enumerate(rows[:10], 1)]


COPY = Sent("p1", 107, at=20 * MINUTE, event_id="e1", note="copy")
REFUSED = Sent("p2", -40, at=50_000, event_id="r1", note="refused")
IDLE = 3_600_000


@pytest.fixture
def world():
    return World({0: steady(), 1: [replace(one, user="q" + one.user[1:], event_id=None) for one in steady(12, 3)]})


def with_sent(world: World, *more: Sent) -> World:
    return replace(world, sent={**world.sent, 0: [*world.sent[0], *more]})


def every(_: Sent) -> bool:
    """A job that counts every record."""
    return True


def test_a_board_that_is_right_has_nothing_to_explain(world, tmp_path):
    assert explained(world, tmp_path, "top_players", players(world.truth())) == []


def test_a_copy_counted_again(world, tmp_path):
    planted = with_sent(world, copy_of(world.sent[0][1], 20 * MINUTE))
    found = explained(planted, tmp_path, "top_players", players(planted.events(lambda _: True)), counts=every)
    assert named(found) == {"DUPLICATE"}
    told = found[0]
    assert told.accepted
    assert told.entity == ("p1",)
    assert told.evidence["events_total"] == 1
    event = told.evidence["events"][0]
    assert (event["partition"], event["offset"], event["event_id"]) == (0, 30, "e1")
    assert event["copy_after_ms"] == 20 * MINUTE - 1000
    assert "--replay" in told.action


def test_a_copy_that_the_job_dropped_is_no_cause(world, tmp_path):
    """Both sinks were edited by the very score of a copy: the job's own count says that it dropped it."""
    planted = with_sent(world, copy_of(world.sent[0][1], 20 * MINUTE))
    found = explained(planted, tmp_path, "top_players", players(planted.events(every)))
    assert named(found) == {"UNEXPLAINED"}
    assert not any(one.accepted for one in found)


def test_a_copy_of_which_the_job_tells_nothing_is_no_cause(world, tmp_path):
    planted = with_sent(world, copy_of(world.sent[0][1], 20 * MINUTE))
    ledger = replace(planted, sent={0: planted.sent[0][:-1], 1: planted.sent[1]}).counted("leaderboards_v1")
    found = explained(planted, tmp_path, "top_players", players(planted.events(every)), ledger=ledger)
    assert named(found) == {"UNEXPLAINED"}


def test_one_copy_of_two_in_a_minute_is_the_one_that_fits(world, tmp_path):
    first, second = copy_of(world.sent[0][1], 20 * MINUTE), copy_of(world.sent[0][7], 20 * MINUTE + 1)
    assert first.score != second.score
    planted = with_sent(world, first, second)
    shown = players(
        planted.events(lambda one: one is not first and one is not second) + planted.events(lambda one: one is second)
    )
    found = explained(planted, tmp_path, "top_players", shown, counts=lambda one: one is not first)
    assert named(found) == {"DUPLICATE"}
    assert [one["event_id"] for one in found[0].evidence["events"]] == [second.event_id]


def test_a_score_that_two_selections_of_copies_give_has_no_cause(tmp_path):
    """2 + 3 or 5 alone: each pair or single of what the job may have counted gives the number."""
    sent = [Sent("p", score, at=score, event_id=f"e{score}", team="t") for score in (1, 2, 3, 4)]
    copies = [copy_of(one, 20 * MINUTE + one.at) for one in sent]
    world = World({0: [*sent, *copies]})
    shown = players([*world.truth(), *world.events(lambda one: one in copies[1:3])])
    found = explained(world, tmp_path, "top_players", shown, counts=lambda one: one not in (copies[0], copies[3]))
    assert named(found) == {"UNEXPLAINED"}
    assert len(found[0].evidence["possible"]) == 2
    assert "2 selections" in found[0].evidence["looked_for"]


def test_a_copy_with_another_content_counted_again(world, tmp_path):
    first = world.sent[0][1]
    planted = with_sent(world, copy_of(first, 20 * MINUTE, score=first.score + 7))
    found = explained(planted, tmp_path, "top_players", players(planted.events(every)), counts=every)
    assert named(found) == {"DUP_CONFLICT"}
    assert not found[0].accepted
    event = found[0].evidence["events"][0]
    assert (event["event_id"], event["score"], event["copy_of"]) == ("e1", first.score + 7, "p0@1")


def test_the_other_of_two_partitions_counted_in_place_of_the_first(world, tmp_path):
    first, other = Sent("x", 90, at=10, event_id="c", team="t0"), Sent("x", 40, at=20, event_id="c", team="t0")
    planted = World({0: [*world.sent[0], first], 1: [*world.sent[1], other]})
    shown = players(planted.events(lambda one: one is not first))
    found = explained(planted, tmp_path, "top_players", shown, counts=lambda one: one is not first)
    assert named(found) == {"DUP_CONFLICT"}
    assert found[0].evidence["counted_in_place_of"] == ["p0@30"]
    assert {(one["partition"], one["offset"]) for one in found[0].evidence["events"]} == {(0, 30), (1, 12)}
    # the same numbers without the job's count of it: a hand
    assert named(explained(planted, tmp_path / "2", "top_players", shown)) == {"UNEXPLAINED"}


def test_a_row_for_which_the_time_was_over_says_so(world, tmp_path, monkeypatch):
    monkeypatch.setattr("gamestream_dagster.reconciliation.causes.job_side.GUESSING_SECONDS", -1.0)
    planted = with_sent(world, copy_of(world.sent[0][1], 20 * MINUTE))
    found = explained(planted, tmp_path, "top_players", players(planted.events(lambda _: True)), counts=every)
    assert named(found) == {"UNEXPLAINED"}
    assert "not every guess was tried" in found[0].evidence["looked_for"]


def test_only_the_copies_beyond_the_horizon_counted_again(world, tmp_path):
    near, far = copy_of(world.sent[0][1], 31_000), copy_of(world.sent[0][7], 40 * MINUTE)
    planted = with_sent(world, near, far)
    events = planted.truth() + planted.events(lambda one: one is far)
    found = explained(planted, tmp_path, "top_players", players(events), counts=lambda one: one is not near)
    assert named(found) == {"DUPLICATE"}
    assert found[0].evidence["events_total"] == 1
    assert found[0].evidence["copies_at_least_ms_apart"] > 30 * MINUTE


def test_a_refused_event_counted(world, tmp_path):
    planted = with_sent(world, REFUSED)
    found = explained(planted, tmp_path, "top_players", players(planted.events(lambda _: True)), counts=every)
    assert named(found) == {"DEAD_LETTERED"}
    assert found[0].evidence["counted_in_spite_of"] == ["OUT_OF_RANGE"]
    assert not found[0].accepted


def test_a_player_who_has_nothing_but_refused_events(world, tmp_path):
    planted = with_sent(world, Sent("strange", -1, at=50_000, team="t1"))
    rows = players(planted.events(lambda _: True))
    assert rows[-1]["user_id"] == "strange"
    assert named(explained(planted, tmp_path, "top_players", rows, counts=every)) == {"DEAD_LETTERED"}


def missing(first: int, last: int, kind: FaultKind = FaultKind.MISSING) -> LedgerFault:
    return LedgerFault(kind, "leaderboards_v1", 0, first, last, last - first + 1, f"p0@{first}..{last}")


def test_a_lost_run_of_offsets(world, tmp_path):
    planted = replace(world, faults=(missing(6, 9),))
    events = [one for one in planted.truth() if not (one.partition == 0 and 6 <= one.offset <= 9)]
    found = explained(planted, tmp_path, "top_players", players(events))
    assert named(found) == {"MISSING_EVENTS"}
    assert {one.entity for one in found} == {("p0",), ("p1",), ("p2",), ("p3",)}
    assert found[0].evidence["run"] == {"partition": 0, "first_offset": 6, "last_offset": 9}


def test_a_lost_run_that_the_ledger_does_not_know_is_not_guessed(world, tmp_path):
    events = [one for one in world.truth() if not (one.partition == 0 and one.offset == 6)]
    assert named(explained(world, tmp_path, "top_players", players(events))) == {"UNEXPLAINED"}


def test_a_run_counted_twice(world, tmp_path):
    planted = replace(world, faults=(missing(6, 7, FaultKind.TWICE),))
    again = [one for one in planted.truth() if one.partition == 0 and 6 <= one.offset <= 7]
    assert named(explained(planted, tmp_path, "top_players", players([*planted.truth(), *again]))) == {"DUPLICATE"}


def test_an_old_state_restored(world, tmp_path):
    restore = OldRestore(3, datetime.fromtimestamp(START / 1000 + 3600, UTC), "old", "new")
    planted = replace(world, faults=(missing(6, 9),), facts=JobFacts("leaderboards_v1", (), (restore,)))
    events = [one for one in planted.truth() if not (one.partition == 0 and 6 <= one.offset <= 9)]
    found = explained(planted, tmp_path, "top_players", players(events))
    assert named(found) == {"RESTORED_FROM_OLD_STATE"}
    assert found[0].evidence["generation"] == 3


def test_totals_that_restarted_after_an_idle_gap(world, tmp_path):
    later = [Sent("p5", 511, at=IDLE + n, event_id=f"l{n}") for n in range(3)]
    planted = replace(with_sent(world, *later), facts=JobFacts("leaderboards_v1", (30 * MINUTE,)))
    events = [one for one in planted.truth() if one.user_id != "p5" or one.event_time_millis > START + 10 * MINUTE]
    found = explained(planted, tmp_path, "top_players", players(events))
    assert named(found) == {"STATE_EXPIRED"}
    assert found[0].evidence["time_to_live_ms"] == [30 * MINUTE]


def test_no_state_expires_in_a_job_without_a_time_to_live(world, tmp_path):
    planted = with_sent(world, Sent("p5", 511, at=IDLE, event_id="l"))
    events = [one for one in planted.truth() if one.user_id != "p5" or one.event_time_millis > START + 10 * MINUTE]
    assert named(explained(planted, tmp_path, "top_players", players(events))) == {"UNEXPLAINED"}


def test_sums_that_wrapped(world, tmp_path):
    planted = with_sent(world, *(Sent("p0", 1_500_000_000, at=60_000 + n, event_id=f"b{n}") for n in range(2)))
    found = explained(planted, tmp_path, "top_players", counted_as_int(planted.truth()))
    assert named(found) == {"OVERFLOW"}


def test_a_wrapped_player_who_fell_off_the_board(tmp_path):
    sent = [Sent(f"p{n:02}", 1000 + n, at=n, event_id=f"e{n}", team="t") for n in range(12)]
    sent += [Sent("p11", 2_147_483_000, at=100, event_id="big", team="t")]
    world = World({0: sent})
    found = explained(world, tmp_path, "top_players", counted_as_int(world.truth()))
    assert named(found) == {"OVERFLOW"}
    assert [one.kind.value for one in found] == ["MISSING"]


def test_ties_in_another_order(tmp_path):
    world = World({0: [Sent("a", 5, event_id="1"), Sent("b", 5, event_id="2"), Sent("c", 1, event_id="3")]})
    rows = players(world.truth())
    swapped = [{**rows[1], "rnk": 1}, {**rows[0], "rnk": 2}, rows[2]]
    found = explained(world, tmp_path, "top_players", swapped)
    assert named(found) == {"TIE_ORDER"}
    assert all(one.accepted for one in found)


def test_rows_in_a_wrong_order_that_are_no_tie(tmp_path):
    world = World({0: [Sent("a", 6, event_id="1"), Sent("b", 5, event_id="2")]})
    rows = players(world.truth())
    swapped = [{**rows[1], "rnk": 1}, {**rows[0], "rnk": 2}]
    assert named(explained(world, tmp_path, "top_players", swapped)) == {"UNEXPLAINED"}


def test_followers_of_a_moved_row_have_no_cause_of_their_own(tmp_path):
    """Eight players with hotness 1.0; a late event moves the first, and everybody behind moves up. No tie is wrong."""
    sent = [Sent(f"p{n % 8}", 10, at=1000 * n, event_id=f"e{n}") for n in range(58)]
    sent += [Sent("p0", 10_000, at=58_500, behind=30_000, event_id="late", note="late")]
    sent += [Sent("clock", 1, at=1000 * n, event_id=f"c{n}") for n in range(62, 70)]
    world = World({0: sent})
    as_of = START + 60_000
    found = explained(world, tmp_path, "hot_streaks", ticks(world, world.events(lambda one: one.note != "late"), as_of))
    assert named(found) == {"LATE"}
    followers = [one for one in found if one.entity != ("p0",)]
    assert len(followers) == 7
    for one in followers:
        assert one.evidence["moved_by"][0].endswith(" p0")
        assert one.action.startswith("nothing: it moved with #")


def test_a_board_that_stands_still_does_not_follow_from_a_late_event(tmp_path):
    """Both sinks show an old window, and one of its rows lacks a late event: that does not excuse the standstill."""
    sent = [Sent(f"p{n % 8}", 10, at=1000 * n, event_id=f"e{n}") for n in range(58)]
    sent += [Sent("p0", 10_000, at=58_500, behind=30_000, event_id="late", note="late")]
    sent += [Sent("clock", 1, at=1000 * n, event_id=f"c{n}") for n in range(62, 120)]
    world = World({0: sent})
    shown = ticks(world, world.events(lambda one: one.note != "late"), START + 60_000)
    found = explained(world, tmp_path, "hot_streaks", shown)
    assert {one.cause for one in found if one.kind is DifferenceKind.STALE} == {"UNEXPLAINED"}
    assert {one.cause for one in found if one.kind is not DifferenceKind.STALE} == {"LATE"}


# The sinks as witnesses: Kafka is right.


def test_a_row_edited_by_hand(world, tmp_path):
    right = players(world.truth())
    wrong = [{**row, "total_score": row["total_score"] + 3} if row["rnk"] == 2 else row for row in right]
    found = explained(world, tmp_path, "top_players", wrong, kafka=right)
    assert named(found) == {"EDITED_BY_HAND"}
    assert found[0].evidence["the_other_sink_shows"] == right[1]


def test_a_row_deleted_by_hand(world, tmp_path):
    right = players(world.truth())
    found = explained(world, tmp_path, "top_players", [row for row in right if row["rnk"] != 4], kafka=right)
    assert named(found) == {"EDITED_BY_HAND"}


def test_a_board_that_stands_where_it_stood_earlier(world, tmp_path):
    right, earlier = players(world.truth()), players(model.before(world.truth(), {0: 24, 1: 12}))
    found = explained(replace(world, held=[earlier]), tmp_path, "top_players", earlier, kafka=right)
    assert named(found) == {"SINK_LAG"}
    assert {one.evidence["versions_behind"] for one in found} == {1}


def test_the_value_of_an_earlier_cut_that_the_topic_never_held(world, tmp_path):
    """A sum that was right once, put in by hand: sums alone would call it a lag."""
    right, earlier = players(world.truth()), players(model.before(world.truth(), {0: 24, 1: 12}))
    total = next(row["total_score"] for row in earlier if row["user_id"] == right[1]["user_id"])
    wrong = [right[0], {**right[1], "total_score": total}, *right[2:]]
    found = explained(world, tmp_path, "top_players", wrong, kafka=right)
    assert {one.rank: one.cause for one in found} == {2: "EDITED_BY_HAND"}


def test_a_newcomer_at_the_top_whom_postgres_does_not_show(world, tmp_path):
    """Every row has moved by one: all of them are behind, and each is counted."""
    before = players(world.truth())
    grown = with_sent(world, Sent("zoe", 10**6, at=60_000, event_id="z", team="t1"))
    right = players(grown.truth())
    found = explained(replace(grown, held=[before]), tmp_path, "top_players", before, kafka=right)
    assert named(found) == {"SINK_LAG"}
    assert {one.rank for one in found if one.rank is not None} | {1} == set(range(1, len(right) + 1))


def test_a_rank_that_should_have_been_deleted(world, tmp_path):
    right = players(world.truth())
    old = {**players(model.before(world.truth(), {0: 24, 1: 12}))[0], "rnk": 10}
    before = players(model.before(world.truth(), {0: 24, 1: 12}))
    found = explained(
        replace(world, held=[[*before, old], before]), tmp_path, "top_players", [*right, old], kafka=right
    )
    assert named(found) == {"STALE_ROW"}


# Windows


def ticks(world: World, events, as_of: int):
    return model.hot_streaks(events, as_of)


def test_events_that_came_too_late_for_their_window(tmp_path):
    sent = [Sent(f"p{n % 4}", 10 + n, at=1000 * n, event_id=f"e{n}") for n in range(58)]
    sent += [Sent("p1", 500, at=58_000, behind=30_000, event_id="late", note="late")]
    sent += [Sent(f"p{n % 4}", 10, at=1000 * n, event_id=f"f{n}") for n in range(59, 75)]
    world = World({0: sent})
    as_of = START + 60_000
    found = explained(world, tmp_path, "hot_streaks", ticks(world, world.events(lambda one: one.note != "late"), as_of))
    assert found
    assert named(found) == {"LATE"}
    assert all(one.accepted for one in found)
    carried = next(one for one in found if one.entity == ("p1",)).evidence["events"]
    assert [one["event_id"] for one in carried] == ["late"]
    assert carried[0]["behind_ms"] == 29_000


def test_of_a_few_late_events_any_may_have_been_in_time(tmp_path):
    """The watermark hangs on the other partitions too, so the one that was later by its own may have been counted."""
    sent = [Sent(f"p{n % 4}", 10 + n, at=1000 * n, event_id=f"e{n}") for n in range(58)]
    sent += [Sent("p1", 500, at=58_000, behind=12_000, event_id="dropped", note="late")]
    sent += [Sent("p1", 70, at=59_000, behind=30_000, event_id="counted")]
    sent += [Sent(f"p{n % 4}", 10, at=1000 * n, event_id=f"f{n}") for n in range(60, 75)]
    world = World({0: sent})
    as_of = START + 60_000
    found = explained(world, tmp_path, "hot_streaks", ticks(world, world.events(lambda one: one.note != "late"), as_of))
    assert named(found) == {"LATE"}
    carried = next(one for one in found if one.entity == ("p1",)).evidence["events"]
    assert [one["event_id"] for one in carried] == ["dropped"]


def test_nobody_who_had_to_make_room_for_a_riddle_gets_a_cause(tmp_path):
    """A row that nobody understands drives another one off the board: that one has no cause of its own."""
    sent = [Sent(f"p{n % 12:02}", 10 + n, at=4_900 * n // 6, event_id=f"e{n}") for n in range(72)]
    sent += [replace(one, at=59_000) for one in sent[60:]]
    world = World({0: [*sent, *(Sent("clock", 1, at=60_000 + n, event_id=f"c{n}") for n in range(10))]})
    as_of = START + 60_000
    rows = ticks(world, world.truth(), as_of)
    assert len(rows) == 10
    riddle = {**rows[0], "user_id": "clock", "rnk": 1}
    shown = [riddle, *({**row, "rnk": row["rnk"] + 1} for row in rows[:9])]
    found = explained(world, tmp_path, "hot_streaks", shown)
    assert named(found) == {"UNEXPLAINED"}


def test_a_crowd_that_came_too_late_for_the_window(tmp_path):
    """More of them than the board has ranks: whoever is taken off makes room for the next."""
    sent = [Sent(f"p{n % 4}", 10 + n, at=1000 * n, event_id=f"e{n}") for n in range(58)]
    sent += [Sent(f"late-{n:02}", 500, at=70_000 + n, behind=12_000, event_id=f"l{n}", note="late") for n in range(25)]
    world = World({0: [*sent, Sent("p0", 1, at=74_000, event_id="z")]})
    as_of = START + 60_000
    shown = ticks(world, world.events(lambda one: one.note != "late"), as_of)
    world = World({0: [*sent[:58], Sent("clock", 1, at=69_000, event_id="c"), *world.sent[0][58:]]})
    found = explained(world, tmp_path, "hot_streaks", shown)
    assert len(found) >= 6
    assert named(found) == {"LATE"}


def test_a_copy_counted_again_by_a_job_that_does_not_count_copies_is_a_possibility(tmp_path):
    """The job of hot streaks tells nothing of the copies it drops: that the numbers fit is no evidence."""
    sent = [Sent(f"p{n % 4}", 10 + n, at=1000 * n, event_id=f"e{n}") for n in range(58)]
    sent += [copy_of(sent[53], 58_000)]
    world = World({0: [*sent, *(Sent(f"p{n % 4}", 10, at=1000 * n, event_id=f"f{n}") for n in range(59, 80))]})
    shown = ticks(world, world.events(every), START + 60_000)
    found = explained(world, tmp_path, "hot_streaks", shown)
    assert named(found) == {"UNEXPLAINED"}
    possible = next(one for one in found if one.entity == ("p1",)).evidence["possible"]
    assert [one["events"][0]["event_id"] for one in possible] == ["e53"]


# Pairs


def pair_worlds(base: World):
    copy = copy_of(base.sent[0][1], 20 * MINUTE)
    refused = Sent("p1", -40, at=50_000, event_id="r1")
    big = [Sent("p1", 1_500_000_000, at=60_000 + n, event_id=f"b{n}") for n in range(2)]
    both = with_sent(base, refused, copy)
    yield "DUPLICATE + DEAD_LETTERED", both, players(both.events(lambda _: True))
    both = with_sent(base, *big, copy)
    yield "DUPLICATE + OVERFLOW", both, counted_as_int(both.events(lambda _: True))
    both = with_sent(base, *big, refused)
    yield "DEAD_LETTERED + OVERFLOW", both, counted_as_int(both.events(lambda _: True))
    both = replace(with_sent(base, copy), faults=(missing(7, 7),))
    events = [one for one in both.events(lambda _: True) if not (one.partition == 0 and one.offset == 7)]
    yield "DUPLICATE + MISSING_EVENTS", both, players(events)
    both = replace(with_sent(base, refused), faults=(missing(7, 7),))
    events = [one for one in both.events(lambda _: True) if not (one.partition == 0 and one.offset == 7)]
    yield "DEAD_LETTERED + MISSING_EVENTS", both, players(events)
    later = [Sent("p1", 511, at=IDLE + n, event_id=f"l{n}") for n in range(3)]
    both = replace(with_sent(base, *later, copy_of(later[0], 2 * IDLE - 1)), facts=JobFacts("x", (30 * MINUTE,)))
    events = both.events(lambda one: one.user != "p1" or one.at >= IDLE)
    yield "DUPLICATE + STATE_EXPIRED", both, players(events)


@pytest.mark.parametrize("place", range(6))
def test_two_causes_of_one_row(world, tmp_path, place):
    expected, planted, rows = list(pair_worlds(world))[place]
    found = explained(planted, tmp_path, "top_players", rows, counts=every)
    assert expected in named(found)
    assert "UNEXPLAINED" not in named(found)


def test_a_row_that_the_job_has_wrong_and_somebody_edited(world, tmp_path):
    planted = with_sent(world, copy_of(world.sent[0][1], 20 * MINUTE))
    kafka = players(planted.events(lambda _: True))
    postgres = [{**row, "total_score": row["total_score"] + 1} if row["user_id"] == "p1" else row for row in kafka]
    found = explained(planted, tmp_path, "top_players", postgres, kafka=kafka, counts=every)
    assert named(found) == {"DUPLICATE + EDITED_BY_HAND"}


@pytest.mark.parametrize("change", [{"total_score": 5}, {"user_id": "nobody"}, {"team_id": "Edited"}], ids=str)
def test_a_row_that_the_job_has_wrong_keeps_its_cause_below_a_foreign_record(world, tmp_path, change):
    """The record of another hand is no newer version: Postgres is not behind it."""
    planted = with_sent(world, copy_of(world.sent[0][1], 20 * MINUTE))
    wrong = players(planted.events(lambda _: True))
    kafka = [{**row, **change} if row["user_id"] == "p1" else row for row in wrong]
    found = explained(replace(planted, held=[wrong]), tmp_path, "top_players", wrong, kafka=kafka, counts=every)
    assert named(found) == {"DUPLICATE"}


def test_an_unexplained_row_that_somebody_edited_stays_unexplained(world, tmp_path):
    """The edit makes the row fit a copy by chance: the topic shows that the job wrote another one."""
    planted = with_sent(world, replace(world.sent[0][1], at=20 * MINUTE))
    truth, copied = players(planted.truth()), players(planted.events(lambda _: True))
    kafka = [{**row, "total_score": row["total_score"] + 1} if row["user_id"] == "p1" else row for row in truth]
    found = explained(planted, tmp_path, "top_players", copied, kafka=kafka)
    assert named(found) == {"UNEXPLAINED"}
    assert found[0].evidence["behind_the_job"] == "EDITED_BY_HAND"


def test_unreadable_rows_in_both_sinks_are_two_edits_and_neither_is_a_witness(world, tmp_path):
    right = players(world.truth())
    postgres = [{**row, "total_score": Unreadable("NaN")} if row["rnk"] == 2 else row for row in right]
    kafka = [{**row, "bonus": Unreadable("1")} if row["rnk"] == 2 else row for row in right]
    found = explained(world, tmp_path, "top_players", postgres, kafka=kafka)
    assert named(found) == {"EDITED_BY_HAND"}
    assert all(one.evidence["the_other_sink_is_wrong"] for one in found)


def test_a_window_that_postgres_does_not_keep_is_behind_row_by_row(tmp_path):
    """So that `gamestream repair` has something to write when no more events come."""
    sent = [Sent(f"p{n % 4}", 10 + n % 5, at=1000 * n, event_id=f"e{n}") for n in range(80)]
    world = World({0: sent})
    old, new = (ticks(world, world.truth(), START + at) for at in (50_000, 70_000))
    found = explained(replace(world, held=[old]), tmp_path, "hot_streaks", old, kafka=new)
    assert named(found) == {"SINK_LAG"}
    assert {one.rank for one in found} == {None, *(row["rnk"] for row in new)}
    told = next(one for one in found if one.rank == 1)
    assert (told.evidence["shown"], told.evidence["the_other_sink_shows"]) == (old[0], new[0])


# In a bracket


@pytest.mark.parametrize("read", range(25, 32))
def test_a_copy_counted_again_while_events_flow(world, tmp_path, read):
    """The board was read anywhere between the cuts; the cause is the same."""
    planted = with_sent(world, copy_of(world.sent[0][1], 20 * MINUTE), Sent("p1", 33, at=21 * MINUTE, event_id="x"))
    shown = players(model.before(planted.events(lambda _: True), {0: read, 1: 12}))
    found = explained(planted, tmp_path, "top_players", shown, low={0: 25, 1: 12}, counts=every)
    assert named(found) <= {"DUPLICATE"}
    assert bool(found) == (read == 31)


@settings(deadline=None, max_examples=20)
@given(amount=st.integers(1, 10**6), rank=st.integers(1, 5))
def test_no_amount_is_explained_by_chance(tmp_path_factory, amount, rank):
    """A job that is wrong by some amount for no reason: a cause is named only if that very event exists."""
    base = World({0: [*steady(), *(replace(one, at=20 * MINUTE + one.at) for one in steady()[:12])]})
    rows = players(base.truth())
    rows[rank - 1]["total_score"] += amount
    rows.sort(key=lambda row: -row["total_score"])
    rows = [{**row, "rnk": place} for place, row in enumerate(rows, 1)]
    found = explained(base, tmp_path_factory.mktemp("w"), "top_players", rows)
    for one in found:
        if one.cause != Cause.UNEXPLAINED:
            assert one.evidence["events_total"] > 0
            assert sum(event["score"] for event in one.evidence["events"]) == amount


# Rows that nobody deleted, in both sinks


def test_ranks_that_an_earlier_version_of_the_job_had(tmp_path):
    world = World({0: [Sent(f"p{n:02}", 1000 - n, at=n, event_id=f"e{n}") for n in range(12)]})
    found = explained(world, tmp_path, "top_players", players(world.truth(), 12))
    assert [(one.rank, one.cause) for one in found] == [(11, "STALE_ROW"), (12, "STALE_ROW")]


def test_an_old_total_that_stays_beside_the_new_one(world, tmp_path):
    """State that expires sends no retraction: the old row keeps its rank, and the player comes in once more."""
    later = [Sent("p5", 511, at=IDLE + n, event_id=f"l{n}") for n in range(3)]
    planted = replace(with_sent(world, *later), facts=JobFacts("leaderboards_v1", (30 * MINUTE,)))
    before = players(world.truth())
    fresh = players([one for one in planted.truth() if one.event_time_millis > START + 10 * MINUTE])
    rows = sorted([*before, *fresh], key=lambda row: (-row["total_score"], row["user_id"]))
    found = explained(planted, tmp_path, "top_players", [{**row, "rnk": rank} for rank, row in enumerate(rows, 1)])
    assert {(one.entity, one.cause) for one in found} == {(("p5",), "STALE_ROW"), (("p5",), "STATE_EXPIRED")}

"""Generated worlds of copies, conflicts and edits with small scores: a cause that is named is never a wrong one."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.reconciliation.model.values import Row
from tests.support.cause_worlds import MINUTE, Sent, World, copy_of, explained, players

untimed = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


@st.composite
def worlds(draw: Any) -> tuple[World, list[Sent], list[Sent]]:
    """A world, its copies, and those that the job counts again. Scores are so small that any number is some sum."""
    sent = [
        Sent(f"p{n % 3}", draw(st.integers(1, 4)), at=n * 1000, event_id=f"e{n}", team="t")
        for n in range(draw(st.integers(3, 12)))
    ]
    copies: list[Sent] = []
    for place in range(draw(st.integers(1, 8))):
        first = draw(st.sampled_from(sent))
        changes = {"score": draw(st.integers(1, 4))} if draw(st.booleans()) else {}
        # some share their minute with others, some have it alone
        copies.append(copy_of(first, draw(st.sampled_from([20, 20 + place])) * MINUTE + place, **changes))
    counted = [one for one in copies if draw(st.booleans())]
    return World({0: [*sent, *sorted(copies, key=lambda one: one.at)]}), copies, counted


def rows_of(world: World, counted: list[Sent], edits: dict[str, int]) -> list[Row]:
    again = world.events(lambda one: any(one is other for other in counted))
    rows = players([*world.truth(), *again])
    for row in rows:
        row["total_score"] += edits.get(row["user_id"], 0)
    rows.sort(key=lambda row: (-row["total_score"], row["user_id"]))
    return [{**row, "rnk": rank} for rank, row in enumerate(rows, 1)]


@untimed
@given(made=worlds(), amount=st.integers(1, 8), player=st.sampled_from(["p0", "p1", "p2"]))
def test_an_edit_is_never_called_a_copy_that_the_job_dropped(tmp_path_factory, made, amount, player):
    """Both sinks show a number that some copies would give; the job's own count says that it dropped them all."""
    world, _, _ = made
    found = explained(world, tmp_path_factory.mktemp("w"), "top_players", rows_of(world, [], {player: amount}))
    assert {one.cause for one in found} == {"UNEXPLAINED"}


@untimed
@given(made=worlds())
def test_what_is_named_is_what_the_job_counted(tmp_path_factory, made):
    world, copies, counted = made

    def counts(one: Sent) -> bool:
        return not any(one is other for other in copies) or any(one is other for other in counted)

    found = explained(world, tmp_path_factory.mktemp("w"), "top_players", rows_of(world, counted, {}), counts=counts)
    for one in found:
        if one.unexplained or "events" not in one.evidence:
            continue
        mine = [other for other in counted if (other.user,) == one.entity]
        named = one.evidence["events"]
        assert sum(event["score"] for event in named) == sum(other.score for other in mine)
        assert set(one.cause.split(" + ")) <= {"DUPLICATE", "DUP_CONFLICT"}
    minutes = [one.at // MINUTE for one in copies]
    if len(set(minutes)) == len(minutes):  # the job's count tells of each copy by itself
        assert "UNEXPLAINED" not in {one.cause for one in found}
        for one in found:
            if "events" in one.evidence:
                offsets = {event["offset"] for event in one.evidence["events"]}
                assert offsets == {
                    offset
                    for offset, other in enumerate(world.sent[0])
                    if any(other is each for each in counted) and (other.user,) == one.entity
                }

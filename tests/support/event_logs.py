"""Hypothesis strategies: small worlds in which ties, shared names and empty teams are common."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support import reference_model as model
from tests.support.reference_model import Event

AS_OF = 1_700_000_000_000  # a multiple of 5 s
BOARDS = {"top_teams": model.top_teams, "top_players": model.top_players, "team_mvps": model.team_mvps}

_PLAYERS = ["a", "b", "c", "Z", "é", "\U0001f600", "ab", "a b", "～"]
_TEAMS = ["t1", "t2", "T", "ü"]
_NAMES = ["Lions", "Tigers", "lions", "Ö", "\U0001f981", ""]
_SCORES = st.one_of(st.integers(0, 4), st.sampled_from([0, 1_500_000_000, 1_000_000_000_000]))
# Mostly inside the window of AS_OF, on its edges, late and ahead.
_AGES = st.one_of(st.integers(-2_000, 70_000), st.sampled_from([0, 1, 10_000, 10_001, 60_000, 60_001, 600_000]))


@st.composite
def logs(draw: Any, min_size: int = 0, max_size: int = 40) -> list[Event]:
    """Events in the order of arrival; a player's are in one partition; some are sent twice; offsets have holes."""
    partitions = draw(st.integers(1, 4))
    several_teams = draw(st.booleans())
    next_offset = [0] * partitions
    events: list[Event] = []
    for _ in range(draw(st.integers(min_size, max_size))):
        index = draw(st.integers(0, len(_PLAYERS) - 1))
        team = draw(st.sampled_from(_TEAMS)) if several_teams else _TEAMS[index % len(_TEAMS)]
        event = (_PLAYERS[index], team, draw(st.sampled_from(_NAMES)), draw(_SCORES), AS_OF - draw(_AGES))
        partition = index % partitions
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            next_offset[partition] += draw(st.sampled_from([0, 0, 0, 1]))  # a transaction marker
            events.append(Event(partition, next_offset[partition], *event))
            next_offset[partition] += 1
    return events


@st.composite
def cuts(draw: Any, events: list[Event]) -> dict[int, int]:
    """Any cut of a log."""
    ends: dict[int, int] = {}
    for event in events:
        ends[event.partition] = max(ends.get(event.partition, 0), event.offset + 1)
    return {partition: draw(st.integers(0, end)) for partition, end in ends.items()}

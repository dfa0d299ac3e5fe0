"""Hypothesis strategies: any log of events: out of order, repeated, refused, late, over any number of partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.support.reference_model import Event

AS_OF = 1_700_000_000_000  # a multiple of 5 s

_PLAYERS = ["a", "b", "c", "Z", "é", "\U0001f600", "ab", "a b", "～"]
_TEAMS = ["t1", "t2", "T", "ü"]
_NAMES = ["Lions", "Tigers", "lions", "Ö", "\U0001f981", ""]
_SCORES = st.one_of(st.integers(0, 4), st.sampled_from([0, 1_500_000_000, 1_000_000_000_000]))
# Mostly inside the window of AS_OF, on its edges, late and ahead.
_AGES = st.one_of(st.integers(-2_000, 70_000), st.sampled_from([0, 1, 10_000, 10_001, 60_000, 60_001, 600_000]))
_DELAYS = st.sampled_from([0, 0, 1, 4_000, 90_000, 800_000])


@dataclass(frozen=True)
class Log:
    """Events in the order of their offsets, and how many partitions they are in."""

    events: tuple[Event, ...]
    partitions: int

    @property
    def end(self) -> dict[int, int]:
        """Next offset by partition."""
        ends = dict.fromkeys(range(self.partitions), 0)
        for event in self.events:
            ends[event.partition] = event.offset + 1
        return ends


@st.composite
def logs(draw: Any, min_size: int = 1, max_size: int = 40, gaps: bool = True) -> Log:
    """A player's events are in one partition, but for those that somebody keys wrongly.

    An event may be sent again, at any later place, also under another player's name, or after a refused record of the
    same id; some carry no id. `gaps`: offsets without a record, as transactions leave them.
    """
    partitions = draw(st.integers(1, 6))
    several_teams = draw(st.booleans())
    sent: list[Event] = []
    for number in range(draw(st.integers(min_size, max_size))):
        if sent and draw(st.integers(0, 3)) == 0:
            sent.append(_again(draw, sent, partitions))
            continue
        index = draw(st.integers(0, len(_PLAYERS) - 1))
        time = AS_OF - draw(_AGES)
        sent.append(
            Event(
                partition=index % partitions,
                offset=0,
                user_id=_PLAYERS[index],
                team_id=draw(st.sampled_from(_TEAMS)) if several_teams else _TEAMS[index % len(_TEAMS)],
                team_name=draw(st.sampled_from(_NAMES)),
                score=draw(_SCORES),
                event_time_millis=time,
                event_id=draw(st.sampled_from([None, "", f"e{number}", f"e{number}", f"e{number}"])),
                kafka_time=max(0, time + draw(_DELAYS)),
                accepted=draw(st.integers(0, 9)) > 0,
            )
        )
    return Log(_placed(draw, sent, gaps), partitions)


def _again(draw: Any, sent: Sequence[Event], partitions: int) -> Event:
    first = draw(st.sampled_from(sent))
    again = replace(first, kafka_time=first.arrived + draw(_DELAYS), accepted=draw(st.integers(0, 9)) > 0)
    match draw(st.integers(0, 7)):
        case 0:  # keyed wrongly
            return replace(again, partition=draw(st.integers(0, partitions - 1)))
        case 1:  # the id of another player's event
            return replace(again, user_id=draw(st.sampled_from(_PLAYERS)))
        case 2:  # a careless producer: the same id, another score
            return replace(again, score=draw(_SCORES))
        case _:
            return again


def _placed(draw: Any, sent: Sequence[Event], gaps: bool) -> tuple[Event, ...]:
    next_offset: dict[int, int] = {}
    placed: list[Event] = []
    for event in sent:
        at = next_offset.get(event.partition, 0) + (draw(st.sampled_from([0, 0, 0, 1])) if gaps else 0)
        placed.append(replace(event, offset=at))
        next_offset[event.partition] = at + 1
    return tuple(placed)


@st.composite
def cuts(draw: Any, log: Log) -> dict[int, int]:
    """Any cut of a log; a partition may be left out."""
    cut = {partition: draw(st.integers(0, end)) for partition, end in log.end.items()}
    return {partition: at for partition, at in cut.items() if at or draw(st.booleans())}

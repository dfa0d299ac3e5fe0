"""Loads totals into the set, round by round, and keeps the cut at which it stands.

The low cut. What a job's source commits, it commits when a checkpoint is complete; what the checkpoint wrote to an
exactly-once topic becomes visible a moment later, at the latest when the next checkpoint is complete. So once the set
is loaded to where the topic ended after commits A were seen, every event before A is in it, if no transaction was open
then, or if commits B had been seen after A.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gamestream_dagster.serving_api.cuts import Bracket, JobState
from gamestream_dagster.serving_api.ranks.ranked import Ranked
from gamestream_dagster.serving_api.ranks.store import BATCH, SetState
from gamestream_dagster.serving_api.ranks.totals_topic import Read

ROUND_SECONDS: Final = 0.5
CUT_SECONDS: Final = 1.0
"""How often the job's commits are looked at."""


log = logging.getLogger(__name__)


class Topic(Protocol):
    """As `TotalsTopic`."""

    def read(self, most: int, seconds: float) -> Read:
        """Read on."""
        ...


class Store(Protocol):
    """As `RankStore`."""

    def state(self) -> SetState:
        """Where the set stands."""
        ...

    def held(self) -> bool:
        """Whether a proof reads the set."""
        ...

    def apply(self, totals: Mapping[str, int | None], before: SetState, state: SetState) -> None:
        """Change the set."""
        ...


class CutReader(Protocol):
    """As `Cuts`."""

    def before(self, job: str, topic: str) -> tuple[Bracket, JobState]:
        """The job's commits."""
        ...

    def after(self, job: str, before: Bracket, state: JobState) -> Bracket:
        """With the end of the topic."""
        ...


@dataclass(frozen=True)
class _Seen:
    """Commits of a job, and where the topic of totals ended after they were seen."""

    bracket: Bracket
    state: JobState
    ends: Mapping[int, int]
    settled: bool
    """No transaction was open."""


@dataclass(frozen=True)
class TopicEnds:
    """Where a topic ends, by partition: for readers of committed records, and for all."""

    committed: Mapping[int, int]
    written: Mapping[int, int]


class Loader:
    """Loads one set.

    Args:
        ranked: what is loaded.
        events: topic of the events that the totals are of.
        topic: of the totals, at the set's position.
        store: the set.
        cuts: of the job that writes the totals.
        ends: of the topic of totals.
        clock: seconds.
        wall: epoch seconds.
    """

    def __init__(
        self,
        ranked: Ranked,
        events: str,
        topic: Topic,
        store: Store,
        cuts: CutReader,
        *,
        ends: Callable[[], TopicEnds],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ranked = ranked
        self._events = events
        self._topic = topic
        self._store = store
        self._cuts = cuts
        self._ends = ends
        self._clock = clock
        self._wall = wall
        self._stored = store.state()
        # what became of the job while nobody looked is not known
        self._state = replace(self._stored, low=None, high=None, reason="the loader has just begun")
        self._looked_at = float("-inf")
        self._older: _Seen | None = None
        self._newer: _Seen | None = None

    @property
    def state(self) -> SetState:
        """Where the set stands."""
        return self._state

    def round(self) -> int:
        """Load what is there, for about `ROUND_SECONDS`; the number of players whose total was loaded.

        Raises:
            ServiceError: Kafka, Postgres or Valkey does not answer. The set is as the round before left it.
        """
        if self._store.held():
            time.sleep(ROUND_SECONDS)
            return 0
        read = self._topic.read(BATCH, ROUND_SECONDS)
        if read.strange:
            log.warning("%d records that the job cannot have written were left out", read.strange)
        looked = self._look()
        state = replace(self._state, position={**self._state.position, **read.position})
        if looked or read.totals:
            state = self._with_cut(state)  # also what bounds it from above: the totals may be of newer events
        if read.totals or state != self._stored:
            self._store.apply(read.totals, self._stored, state)
            self._stored = self._state = state
        return len(read.totals)

    def _look(self) -> bool:
        """Look at the job's commits, once a second."""
        if self._clock() - self._looked_at < CUT_SECONDS:
            return False
        self._looked_at = self._clock()
        bracket, state = self._cuts.before(self._ranked.output.job, self._events)
        if bracket.low is None or (self._newer is not None and self._newer.state != state):
            # nothing that was seen of another run counts: the job may have begun anew
            self._older = self._newer = None
            reason = bracket.reason or f"{self._ranked.output.job} was deployed anew"
            self._state = replace(self._state, low=None, high=None, reason=reason)
        if bracket.low is None:
            return True
        ends = self._ends()
        if self._newer is not None and self._newer.bracket != bracket:
            self._older = self._newer
        self._newer = _Seen(bracket, state, ends.committed, settled=ends.committed == ends.written)
        return True

    def _with_cut(self, state: SetState) -> SetState:
        """The state with the newest cut that the position bears out."""
        newer = self._newer
        if newer is None or not _reached(state.position, newer.ends):
            return state if newer is None or state.high is None else self._at(state, newer, state.low)
        state = replace(state, complete=True)
        sure = newer if newer.settled else self._older
        if sure is None:
            return state if state.low is not None else replace(state, reason="a second checkpoint has yet to complete")
        return self._at(state, newer, sure.bracket.low)

    def _at(self, state: SetState, newer: _Seen, low: Mapping[int, int] | None) -> SetState:
        """The state with a low cut, and a high one of this moment."""
        whole = self._cuts.after(self._ranked.output.job, replace(newer.bracket, low=low), newer.state)
        return replace(
            state,
            topic=whole.topic,
            topic_id=whole.topic_id,
            low=whole.low,
            high=whole.high,
            reason=whole.reason,
            loaded_ms=int(self._wall() * 1000),
        )


def _reached(position: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(position.get(partition, 0) >= end for partition, end in ends.items())

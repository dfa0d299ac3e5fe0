"""The loader of ranks: what it writes in one transaction, and which cut it claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.serving_api.cuts import Bracket, JobState
from gamestream_dagster.serving_api.ranks.loader import CUT_SECONDS, Loader, TopicEnds
from gamestream_dagster.serving_api.ranks.ranked import ranked_boards
from gamestream_dagster.serving_api.ranks.store import SetState
from gamestream_dagster.serving_api.ranks.totals_topic import Read
from gamestream_dagster.settings import Ranks, Season

[RANKED] = ranked_boards(load_boards(season=Season.DAILY, ranks=Ranks.ALL).values())
RUN = JobState("job-1", None)


@dataclass
class World:
    """Kafka, Postgres and Valkey behind the loader."""

    waiting: list[Read] = field(default_factory=list)
    commits: dict[int, int] | None = field(default_factory=lambda: {0: 10})
    run: JobState = RUN
    committed: int = 0
    written: int = 0
    high: int = 100
    reason: str = ""
    hold: bool = False
    stored: SetState = field(default_factory=SetState)
    totals: dict[str, int | None] = field(default_factory=dict)
    writes: int = 0
    now: float = 0.0

    def read(self, most: int, seconds: float) -> Read:
        return self.waiting.pop(0) if self.waiting else Read()

    def state(self) -> SetState:
        return self.stored

    def held(self) -> bool:
        return self.hold

    def apply(self, totals: Mapping[str, int | None], before: SetState, state: SetState) -> None:
        assert before == self.stored
        self.writes += 1
        self.totals.update(totals)
        self.stored = state

    def before(self, job: str, topic: str) -> tuple[Bracket, JobState]:
        assert (job, topic) == (RANKED.output.job, "user-score")
        return Bracket("user-score", TopicId("one"), self.commits, reason=self.reason), self.run

    def after(self, job: str, before: Bracket, state: JobState) -> Bracket:
        return replace(before, high={0: self.high} if before.low is not None else None)

    def ends(self) -> TopicEnds:
        return TopicEnds({0: self.committed}, {0: self.written})


class Running:
    def __init__(self, world: World) -> None:
        self.world = world
        self.loader = Loader(
            RANKED, "user-score", world, world, world, ends=world.ends, clock=lambda: world.now, wall=lambda: 1.0
        )

    def round(self, totals: Mapping[str, int | None] | None = None, upto: int | None = None) -> SetState:
        """A second later; `totals` come, and the topic is read up to an offset."""
        self.world.now += CUT_SECONDS
        if totals is not None or upto is not None:
            self.world.waiting.append(Read(dict(totals or {}), {} if upto is None else {0: upto}))
        self.loader.round()
        return self.world.stored


def low(state: SetState) -> dict[int, int] | None:
    return None if state.low is None else dict(state.low)


def test_totals_position_and_cut_are_written_at_once() -> None:
    world = World(committed=3, written=3)
    state = Running(world).round({"a": 5, "b": 7}, 3)
    assert (world.totals, world.writes) == ({"a": 5, "b": 7}, 1)
    assert (state.position, state.complete, low(state), state.high) == ({0: 3}, True, {0: 10}, {0: 100})


def test_the_set_is_not_whole_before_the_end_of_the_topic() -> None:
    running = Running(World(committed=9, written=9))
    assert not running.round({"a": 5}, 3).complete
    assert low(running.round({"b": 5}, 8)) is None
    assert running.round({"c": 5}, 9).complete


def test_with_an_open_transaction_the_commits_before_the_last_ones_are_sure() -> None:
    world = World(committed=3, written=5)
    running = Running(world)
    state = running.round({"a": 5}, 3)
    assert (state.complete, low(state)) == (True, None)
    assert "second checkpoint" in state.reason
    assert low(running.round()) is None, "the same commits again"
    world.commits, world.committed, world.written = {0: 20}, 5, 8
    assert low(running.round()) is None, "the end after the commits is not reached"
    assert low(running.round({"b": 1}, 5)) == {0: 10}
    world.commits, world.committed, world.written = {0: 30}, 8, 9
    assert low(running.round({"b": 2}, 8)) == {0: 20}


def test_once_no_transaction_is_open_the_last_commits_are_sure() -> None:
    world = World(committed=3, written=5)
    running = Running(world)
    running.round({"a": 5}, 3)
    world.committed = world.written = 5
    assert low(running.round()) is None
    assert low(running.round({"b": 5}, 5)) == {0: 10}


def test_the_cut_from_above_is_never_older_than_the_totals() -> None:
    world = World(committed=3, written=3)
    running = Running(world)
    running.round({"a": 5}, 3)
    world.high, world.now = 200, world.now - CUT_SECONDS  # within the same second
    world.committed = world.written = 9
    assert running.round({"a": 6}, 4).high == {0: 200}


def test_another_run_of_the_job_makes_the_cut_unknown_until_it_is_sure_again() -> None:
    world = World(committed=3, written=3)
    running = Running(world)
    assert low(running.round({"a": 5}, 3)) == {0: 10}
    world.run, world.commits, world.committed, world.written = JobState("job-2", None), {0: 0}, 3, 6
    state = running.round()
    assert low(state) is None
    assert state.reason
    world.committed = world.written = 6
    assert low(running.round({"a": None}, 6)) == {0: 0}, "begun anew: nothing is sure to be counted"
    assert world.totals == {"a": None}


def test_an_unknown_cut_says_why() -> None:
    world = World(commits=None, reason="user-score was deleted and created again")
    state = Running(world).round({"a": 5}, 3)
    assert (low(state), state.reason) == (None, "user-score was deleted and created again")
    assert world.totals == {"a": 5}


def test_the_cut_of_an_earlier_loader_is_not_believed() -> None:
    world = World(committed=9, written=9, stored=SetState({0: 3}, True, "user-score", None, {0: 90}, {0: 95}))
    state = Running(world).round()
    assert (low(state), state.complete, state.position) == (None, True, {0: 3})
    assert state.reason


def test_nothing_changes_while_a_proof_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gamestream_dagster.serving_api.ranks.loader.time.sleep", lambda _: None)
    world = World(committed=3, written=3, hold=True)
    running = Running(world)
    running.round({"a": 5}, 3)
    assert world.writes == 0
    world.hold = False
    assert running.round().position == {0: 3}


def test_a_state_goes_through_valkey_unchanged() -> None:
    state = SetState({0: 3, 2: 9}, True, "user-score", TopicId("x"), {0: 1}, {0: 2}, "", 7)
    assert SetState.unpacked(state.packed()) == state
    assert SetState.unpacked(SetState().packed()) == SetState()
    for spoilt in (None, b"", b"x", b"[]", b"{}", b'{"position": 1}'):
        assert SetState.unpacked(spoilt) == SetState()

"""Ranks of all players from Flink to Valkey: they equal the recompute while scores move, and after a kill of Valkey."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.valkey import client
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.flink_jobs.spec.job_spec import parse_flink_job_name
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.serving_api.ranks.ranked import ranked_of
from gamestream_dagster.serving_api.ranks.running import TopicAnewError, opened
from gamestream_dagster.serving_api.ranks.store import RankStore, SetKeys, SetState
from gamestream_dagster.serving_api.ranks.verify import verify_ranks
from gamestream_dagster.settings import Ranks, Settings
from tests.support.world import World, drain, provision

JOB = "player_totals_v1"
LIMIT_SECONDS = 90


@dataclass
class Loading:
    """The stack with ranks, and its loader in a thread, as the service runs it."""

    settings: Settings
    errors: list[str]

    def state(self) -> SetState:
        topic_id = KafkaAdmin(self.settings.kafka).topic_id("player-totals")
        assert topic_id is not None
        with client(self.settings) as plain:
            return RankStore(plain, SetKeys(topic_id), self.settings.valkey).state()

    def until_at_end(self) -> None:
        """Both cuts are the end of the events."""
        ends = KafkaAdmin(self.settings.kafka).end_offsets("user-score")
        until(lambda: dict(self.state().low or {}) == ends, f"the ranks stand at {ends}: {self.errors}")


@pytest.fixture(scope="module")
def loading(world: World) -> Iterator[Loading]:
    settings = world.settings.model_copy(update={"ranks": Ranks.ALL})
    world.hold("ranks", lambda _: deploy(settings))
    stack = Stack(settings)
    stack.up(("valkey",))
    stop, made = threading.Event(), Loading(settings, [])
    thread = threading.Thread(target=load, args=(made, stop))
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join()
        stack.stop("valkey")
        world.spoil()


def deploy(settings: Settings) -> None:
    provision(settings)
    replay_into(settings, "nba")
    apply_job(settings, JOB)
    drain(settings, job=JOB)


def load(made: Loading, stop: threading.Event) -> None:
    """As `load_for_ever`, which takes the process's signals."""
    while not stop.is_set():
        try:
            with opened(made.settings, ranked_of(made.settings)) as (loader, check):
                while not stop.is_set():
                    check()
                    loader.round()
        except (ServiceError, TopicAnewError) as error:
            made.errors.append(str(error))
            stop.wait(0.2)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            if holds():
                return
        except ServiceError as error:
            what = f"{what} ({error})"
        assert time.monotonic() < deadline, f"not within {LIMIT_SECONDS} s: {what}"
        time.sleep(0.2)


def checkpoint(settings: Settings) -> None:
    with FlinkRest(settings.flink_rest) as flink:
        for live in flink.jobs():
            if parse_flink_job_name(live.name) and not live.state.ended:
                flink.checkpoint_now(live.job_id, 30)


def test_every_total_is_that_of_the_recompute_at_the_end(loading: Loading) -> None:
    loading.until_at_end()
    proof = verify_ranks(loading.settings)
    assert (proof.verdict, proof.differing) == (Verdict.MATCH, 0)
    assert proof.players == 15, "players of the NBA shots"


def test_a_total_of_another_hand_is_found(loading: Loading) -> None:
    topic_id = KafkaAdmin(loading.settings.kafka).topic_id("player-totals")
    assert topic_id is not None
    with client(loading.settings) as plain:
        keys = SetKeys(topic_id)
        [(player, score)] = plain.zrange(keys.ranks, 3, 3, withscores=True)
        plain.zadd(keys.ranks, {player: score - 1, "nobody": -5})
        proof = verify_ranks(loading.settings)
        assert (proof.verdict, proof.differing) == (Verdict.DIFFERENT, 2)
        assert {one.player for one in proof.wrong} == {player.decode(), "nobody"}
        plain.zadd(keys.ranks, {player: score})
        plain.zrem(keys.ranks, "nobody")
    assert verify_ranks(loading.settings).verdict is Verdict.MATCH


def test_while_scores_move_the_ranks_stand_in_a_bracket(loading: Loading) -> None:
    stop = threading.Event()
    sending = threading.Thread(target=send, args=(loading.settings, stop))
    sending.start()
    try:
        for _ in range(2):
            checkpoint(loading.settings)
            proof = verify_ranks(loading.settings)
            assert proof.verdict is Verdict.MATCH, proof.wrong
    finally:
        stop.set()
        sending.join()


def send(settings: Settings, stop: threading.Event) -> None:
    while not stop.is_set():
        replay_into(settings, "nba")


def test_a_killed_valkey_is_loaded_anew(loading: Loading) -> None:
    drain(loading.settings, job=JOB)
    os.kill(Supervisor(loading.settings).states()["valkey"]["pid"], signal.SIGKILL)
    loading.until_at_end()
    assert verify_ranks(loading.settings).verdict is Verdict.MATCH

"""Ranks of all players from Flink to Valkey: they equal the recompute while 2,000 events come each second, and across a
kill of Valkey, of the loader and of the TaskManager."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.clients.valkey import client
from gamestream_dagster.drill.crowd import PausableCrowd
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.flink_jobs.spec.job_spec import parse_flink_job_name
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.serving_api.ranks.store import RankStore, SetKeys, SetState
from gamestream_dagster.serving_api.ranks.verify import verify_ranks
from gamestream_dagster.serving_api.server import ranks_of
from gamestream_dagster.settings import Ranks, Settings
from tests.support.world import World, drain, provision

JOB = "player_totals_v1"
EVENTS_PER_SECOND = 2_000
LIMIT_SECONDS = 90


class Loading:
    """The stack with ranks, and its loader in a process of its own, which is begun again when it ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.home / "ranks"
        self.folder.mkdir(exist_ok=True)
        self.loader = self.begin()

    def begin(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "GAMESTREAM_HOME": str(self.settings.home), "GAMESTREAM_RANKS": "all"}
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "gamestream_dagster.serving_api.ranks"]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self, victim: str) -> None:
        """As a crash does, without a word to it."""
        if victim == "loader":
            self.loader.kill()
            self.loader.wait()
            self.loader = self.begin()
        else:
            os.kill(Supervisor(self.settings).states()[victim]["pid"], signal.SIGKILL)

    @property
    def topic_id(self) -> TopicId:
        found = KafkaAdmin(self.settings.kafka).topic_id("player-totals")
        assert found is not None
        return found

    def state(self) -> SetState:
        with client(self.settings) as plain:
            return RankStore(plain, SetKeys(self.topic_id), self.settings.valkey).state()

    def ends(self) -> dict[int, int]:
        return KafkaAdmin(self.settings.kafka).end_offsets("user-score")

    def until_past(self, ends: dict[int, int]) -> None:
        """The ranks hold every event before `ends`."""
        deadline = time.monotonic() + LIMIT_SECONDS
        why = ""
        while True:
            try:
                low = self.state().low or {}
                if all(low.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                checkpoint(self.settings)
            except ServiceError as error:
                why = str(error)
            said = (self.folder / "log").read_text(encoding="utf-8")[-2000:]
            assert time.monotonic() < deadline, f"the ranks do not get to {ends} ({why}): {said}"
            time.sleep(0.2)

    def stop(self) -> int:
        self.loader.send_signal(signal.SIGTERM)
        return self.loader.wait(20)


@pytest.fixture(scope="module")
def loading(world: World) -> Iterator[Loading]:
    settings = world.settings.model_copy(update={"ranks": Ranks.ALL})
    world.hold("ranks", lambda _: deploy(settings))
    stack = Stack(settings)
    stack.up(("valkey",))
    made = Loading(settings)
    try:
        yield made
        assert made.stop() == 0
    finally:
        made.loader.kill()
        stack.stop("valkey")
        world.spoil()


@pytest.fixture(scope="module")
def crowd(loading: Loading) -> Iterator[PausableCrowd]:
    options = SimulatorOptions(
        seed=9, start_ms=int(time.time() * 1000), rate=EVENTS_PER_SECOND, players=5_000, late=3, dup=3, bad=2
    )
    made = PausableCrowd(loading.settings, options)
    yield made
    made.close()


def deploy(settings: Settings) -> None:
    provision(settings)
    replay_into(settings, "nba")
    apply_job(settings, JOB)
    drain(settings, job=JOB)


def checkpoint(settings: Settings) -> None:
    with FlinkRest(settings.flink_rest) as flink:
        for live in flink.jobs():
            if parse_flink_job_name(live.name) and not live.state.ended:
                flink.checkpoint_now(live.job_id, 30)


@contextmanager
def playing(crowd: PausableCrowd) -> Iterator[None]:
    crowd.resume()
    try:
        yield
    finally:
        crowd.pause()


def test_every_total_is_that_of_the_recompute_at_the_end(loading: Loading) -> None:
    drain(loading.settings, job=JOB)
    loading.until_past(loading.ends())
    proof = verify_ranks(loading.settings)
    assert (proof.verdict, proof.differing) == (Verdict.MATCH, 0)
    assert proof.players >= 15, "players of the NBA shots"
    assert proof.state.low == proof.state.high == loading.ends()
    answer = first_of(loading)
    assert (answer["verified_by"]["run"], answer["verified_by"]["verdict"]) == (proof.run_id, "MATCH")
    assert answer["as_of"]["low"] == {str(partition): end for partition, end in loading.ends().items()}
    assert (answer["rows_total"], answer["origin"]) == (proof.players, "ranks")


def first_of(loading: Loading) -> dict[str, Any]:
    """The API's answer about the first player."""
    with client(loading.settings) as plain:
        first: Any = plain.zrange(SetKeys(loading.topic_id).ranks, 0, 0)
    found = ranks_of(loading.settings)
    assert found is not None
    answer = asyncio.run(found.around(first[0].decode(), 1))
    assert answer is not None
    assert [row["rank"] for row in answer["rows"]] == [1, 2]
    return answer


def test_a_total_of_another_hand_is_found(loading: Loading) -> None:
    loading.until_past(loading.ends())
    with client(loading.settings) as plain:
        keys = SetKeys(loading.topic_id)
        found: Any = plain.zrange(keys.ranks, 3, 3, withscores=True)
        [(player, score)] = found
        plain.zadd(keys.ranks, {player: score - 1, "nobody": -5})
        proof = verify_ranks(loading.settings)
        assert (proof.verdict, proof.differing) == (Verdict.DIFFERENT, 2)
        assert {one.player for one in proof.wrong} == {player.decode(), "nobody"}
        plain.zadd(keys.ranks, {player: score})
        plain.zrem(keys.ranks, "nobody")
    assert verify_ranks(loading.settings).verdict is Verdict.MATCH


@pytest.mark.parametrize("victim", ["valkey", "loader", "flink-taskmanager"])
def test_under_load_the_ranks_equal_the_recompute_across_a_kill(
    loading: Loading, crowd: PausableCrowd, victim: str
) -> None:
    with playing(crowd):
        before = crowd.sent
        loading.until_past(loading.ends())
        loading.kill(victim)
        loading.until_past(loading.ends())
        began, sent = time.monotonic(), crowd.sent
        proof = verify_ranks(loading.settings)
        rate = (crowd.sent - sent) / (time.monotonic() - began)
    assert (proof.verdict, proof.wrong) == (Verdict.MATCH, ())
    assert proof.players > 1_000
    assert proof.state.low != proof.state.high, "the scores moved"
    assert rate > 0.75 * EVENTS_PER_SECOND, f"{rate:.0f} events/s, {sent - before} before"

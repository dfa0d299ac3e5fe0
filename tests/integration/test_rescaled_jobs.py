"""Our own jobs resume from state of another parallelism, a savepoint or a checkpoint, and their boards are proven."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.events.feed import replay_into, simulate_into
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.observe.observer import same_path
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision, Parallelism
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.reconciliation.model.values import Mode, Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.world import World, drain, provision

CORES = {1: 2, 2: 4}  # of the cluster, by the parallelism that a job gets
LEADERBOARDS, STREAKS = "leaderboards_v1", "hot_streaks_v1"


def sized(settings: Settings, parallelism: int) -> Settings:
    return settings.model_copy(update={"flink_cores": CORES[parallelism], "job_core_share": 0.5})


def send(settings: Settings, seed: int, start_ms: int) -> None:
    """Events with ids of their own; the same seed and start repeat them."""
    options = SimulatorOptions(seed=seed, start_ms=start_ms, events=2000, rate=1000, dup=3, bad=1)
    simulate_into(settings, options, paced=False)


def from_savepoint(settings: Settings, job: str, change: Parallelism) -> Deployment:
    """The setting changed while the job ran."""
    made = manager.plan_job(settings, job)
    assert (made.decision, made.parallelism) == (Decision.UPGRADE, change)
    assert f"with a parallelism of {change.wanted} instead of {change.recorded}" in made.reason
    back = manager.apply_job(settings, job)
    assert "savepoint-" in (back.restore_path or "")
    return back


def from_checkpoint(settings: Settings, job: str, _: Parallelism) -> Deployment:
    """The job was cancelled after a checkpoint, and the setting changed before it was resumed."""
    (job_id,) = (one.flink_job_id for one in manager.history(settings, job, 1))
    with FlinkRest(settings.flink_rest) as flink:
        flink.checkpoint_now(job_id, 60)
        flink.cancel(job_id)
        flink.wait_for_job(job_id, lambda found: found.state.ended, 60, "end")
    back = manager.apply_job(settings, job, Choice.RESUME)
    assert "/chk-" in (back.restore_path or "")
    return back


@pytest.fixture(scope="module")
def wide(stack: Settings, world: World) -> Settings:
    """Both jobs deployed with two parallel tasks each, as earlier versions did, with events read."""
    world.spoil()
    world.empty()
    provision(stack)
    replay_into(stack, "nba")
    settings = sized(stack, 2)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda job: manager.apply_job(settings, job), (LEADERBOARDS, STREAKS)))
    assert [widest(stack, one) for one in made] == [2, 2]
    world.spoil()
    return settings


def widest(settings: Settings, deployed: Deployment) -> int:
    with FlinkRest(settings.flink_rest) as flink:
        return max(vertex.parallelism for vertex in flink.job(deployed.flink_job_id).vertices)


def test_both_jobs_keep_their_state_at_another_parallelism(wide: Settings) -> None:
    start = int(time.time() * 1000)
    send(wide, 1, start)
    drain(wide)
    ways = {LEADERBOARDS: from_savepoint, STREAKS: from_checkpoint}
    for parallelism, before in ((1, 2), (2, 1)):
        settings, change = sized(wide, parallelism), Parallelism(parallelism, before)
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(way, settings, job, change) for job, way in ways.items()]
        for deployed in (one.result() for one in asked):
            assert widest(settings, deployed) == parallelism
            with FlinkRest(settings.flink_rest) as flink:
                restored = flink.checkpoints(deployed.flink_job_id).restored_path
            assert same_path(restored, deployed.restore_path)
        send(settings, 1, start)  # copies, which only the restored state knows
        send(settings, 1 + parallelism, start + 5_000)
        drain(settings)
        run = reconcile(settings, Mode.DRAINED)
        assert (run.verdict, run.differences) == (Verdict.MATCH, ())
        ways = {LEADERBOARDS: from_checkpoint, STREAKS: from_savepoint}

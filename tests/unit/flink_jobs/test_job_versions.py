"""What a deployment ran can run again: healing, keeping, rolling back, redeploying."""

from __future__ import annotations

import pytest

from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.errors import ParkedError, RefusedError, SubmissionRejectedError
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision, StartFrom, Submit
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Trigger, last_good
from tests.support.fakes.flink import Crash
from tests.support.fakes.job_questions import OLD, decide, record, seen
from tests.support.fakes.job_world import NEW_PLAN, World, sinks

GOOD, BAD, THIRD = "a" * 64, "b" * 64, "c" * 64
GOOD_SQL, BAD_SQL = sinks("INSERT INTO good"), sinks("INSERT INTO bad")


@pytest.fixture
def world() -> World:
    return World()


def deploy_good(world: World) -> Deployment:
    return world.apply(fingerprint=GOOD, sinks=GOOD_SQL)


def upgrade_to_bad(world: World) -> Deployment:
    """A change whose state fits, and that turns out to be bad."""
    return world.apply(fingerprint=BAD, sinks=BAD_SQL)


def change_that_does_not_fit(world: World) -> None:
    world.submitter.plans[BAD_SQL.text] = NEW_PLAN


# -- a dead or sick job whose folder was changed ------------------------------------------------------------------


def test_the_record_holds_the_sql_with_its_placeholders(world: World) -> None:
    deployed = deploy_good(world)
    assert [file["path"] for file in deployed.spec["files"]] == [
        "_sources/user_score.sql",
        "totals_v1/query.sql",
        "totals_v1/sinks.sql (rendered)",
    ]
    assert "${kafka_bootstrap}" in deployed.spec["files"][0]["text"]


@pytest.mark.parametrize("choice", [Choice.NONE, Choice.HEAL])
def test_a_dead_job_comes_back_with_the_sql_that_was_deployed(world: World, choice: Choice) -> None:
    old = deploy_good(world)
    world.only.state = FlinkState.FAILED
    change_that_does_not_fit(world)
    back = world.apply(choice, BAD, sinks=BAD_SQL)
    assert "the folder's change waits for a decision" in " ".join(world.said)
    assert world.submitter.sql == ["INSERT INTO good"] * 2
    assert back.fingerprint == old.fingerprint
    assert back.restore_path == f"file:/ck/{old.flink_job_id}/chk-1"
    with pytest.raises(ParkedError, match="--keep"):  # the change still waits, and is shown
        world.apply(fingerprint=BAD, sinks=BAD_SQL)
    assert "see what would be done" in world.look(BAD, sinks=BAD_SQL).pending


def test_a_sick_job_is_healed_with_the_sql_that_it_runs(world: World) -> None:
    deploy_good(world)
    world.only.failures = 6
    change_that_does_not_fit(world)
    healed = world.apply(fingerprint=BAD, sinks=BAD_SQL)
    assert (healed.trigger, healed.fingerprint) == (Trigger.HEAL, GOOD)
    assert world.submitter.sql[-1] == "INSERT INTO good"


def test_a_folder_that_flink_refuses_does_not_keep_a_dead_job_down(world: World) -> None:
    deploy_good(world)
    world.only.state = FlinkState.FAILED
    real = world.submitter.check

    def refuses_the_folder(job: str, rendered: object, options: object) -> str | None:
        if rendered.statement_set == BAD_SQL.text:  # type: ignore[attr-defined]
            raise SubmissionRejectedError("Table 'x' not found")
        return real(job, rendered, options)  # type: ignore[arg-type]

    world.submitter.check = refuses_the_folder  # type: ignore[method-assign]
    assert world.apply(fingerprint=BAD, sinks=BAD_SQL).fingerprint == GOOD
    with pytest.raises(SubmissionRejectedError):  # a live job: the person is told, nothing is touched
        world.apply(fingerprint=BAD, sinks=BAD_SQL)


def test_a_dead_job_with_a_change_that_fits_takes_it(world: World) -> None:
    deploy_good(world)
    world.only.state = FlinkState.FAILED
    assert world.apply(fingerprint=BAD, sinks=BAD_SQL).fingerprint == BAD


def test_an_intent_is_submitted_with_its_own_sql_though_the_folder_changed(world: World) -> None:
    world.submitter.crash_before = True
    with pytest.raises(Crash):
        deploy_good(world)
    change_that_does_not_fit(world)
    with pytest.raises(ParkedError):  # it is finished first, and then the change asks
        world.apply(Choice.RESUME, BAD, sinks=BAD_SQL)
    assert world.submitter.sql == ["INSERT INTO good"]
    assert world.only.name == "totals_v1@aaaaaaaa-g1"


# -- keep ---------------------------------------------------------------------------------------------------------


def test_keep_stays_with_the_old_version_and_is_remembered_for_that_change(world: World) -> None:
    old = deploy_good(world)
    change_that_does_not_fit(world)
    kept = world.apply(Choice.KEEP, BAD, sinks=BAD_SQL)
    assert kept.flink_job_id == old.flink_job_id
    assert world.apply(fingerprint=BAD, sinks=BAD_SQL).flink_job_id == old.flink_job_id  # no longer parked
    assert "a person stays with it" in world.plan(fingerprint=BAD, sinks=BAD_SQL).reason
    world.submitter.plans["INSERT INTO third"] = NEW_PLAN
    with pytest.raises(ParkedError):  # another change asks anew
        world.apply(fingerprint=THIRD, sinks=sinks("INSERT INTO third"))


@pytest.mark.parametrize("choice", [Choice.NONE, Choice.HEAL, Choice.RESUME])
def test_a_kept_version_that_dies_comes_back_and_is_still_kept(world: World, choice: Choice) -> None:
    deploy_good(world)
    change_that_does_not_fit(world)
    world.apply(Choice.KEEP, BAD, sinks=BAD_SQL)
    for _ in range(2):
        world.only.state = FlinkState.FAILED
        back = world.apply(choice, BAD, sinks=BAD_SQL)
        assert back.fingerprint == GOOD
        assert back.hold is not None
    assert world.plan(fingerprint=BAD, sinks=BAD_SQL).decision is Decision.NOTHING


def test_keep_is_refused_where_there_is_nothing_to_choose(world: World) -> None:
    deploy_good(world)
    with pytest.raises(RefusedError, match="no change"):
        world.apply(Choice.KEEP, GOOD, sinks=GOOD_SQL)
    with pytest.raises(RefusedError, match="fits the state"):
        world.apply(Choice.KEEP, BAD, sinks=BAD_SQL)
    assert world.alerts.standing == {}


def test_a_replay_ends_a_keep(world: World) -> None:
    deploy_good(world)
    change_that_does_not_fit(world)
    world.apply(Choice.KEEP, BAD, sinks=BAD_SQL)
    replayed = world.apply(Choice.REPLAY, BAD, sinks=BAD_SQL)
    assert (replayed.fingerprint, replayed.restore_path, replayed.hold) == (BAD, None, None)


def test_a_new_season_is_refused_on_boards_without_seasons(world: World) -> None:
    old = deploy_good(world)
    with pytest.raises(RefusedError, match="boards without seasons"):
        world.apply(Choice.NEW_SEASON, BAD)
    assert world.only.job_id == old.flink_job_id


def test_a_new_season_starts_from_nothing_where_every_board_has_seasons() -> None:
    made = decide(seen(), record(fingerprint=OLD), choice=Choice.NEW_SEASON, seasonal=True)
    assert made.decision is Decision.DEPLOY
    assert made.steps[-1] == Submit(StartFrom.EARLIEST, Trigger.HAND)
    assert "closed seasons stay" in made.reason


# -- rollback -----------------------------------------------------------------------------------------------------


def test_a_rollback_goes_back_to_the_old_sql_and_its_own_savepoint(world: World) -> None:
    old = deploy_good(world)
    bad = upgrade_to_bad(world)
    made = world.plan(Choice.ROLLBACK, BAD, sinks=BAD_SQL)
    assert made.decision is Decision.ROLLBACK
    back = world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL)
    assert f"file:/sp/savepoint-{old.flink_job_id[:6]}" == back.restore_path == world.only.restored_path
    assert made.steps[-1].path == back.restore_path  # type: ignore[union-attr]
    assert (back.fingerprint, back.trigger) == (GOOD, Trigger.ROLLBACK)
    assert world.submitter.sql[-1] == "INSERT INTO good"
    (superseded,) = (row for row in world.store.rows if row.generation == bad.generation)
    assert superseded.savepoint_path  # can be regretted


def test_after_a_rollback_the_sensor_does_not_go_forward_again_and_a_person_does(world: World) -> None:
    deploy_good(world)
    upgrade_to_bad(world)
    world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL)
    assert world.plan(Choice.HEAL, BAD, sinks=BAD_SQL).decision is Decision.NOTHING
    assert "a person went back" in world.look(BAD, sinks=BAD_SQL).pending
    for _ in range(2):
        world.only.state = FlinkState.FAILED
        assert world.apply(Choice.HEAL, BAD, sinks=BAD_SQL).fingerprint == GOOD
    assert world.apply(fingerprint=BAD, sinks=BAD_SQL).fingerprint == BAD


def test_a_second_rollback_goes_further_back_and_not_forward(world: World) -> None:
    world.apply(fingerprint=THIRD)
    deploy_good(world)
    upgrade_to_bad(world)
    assert world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL).fingerprint == GOOD
    assert world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL).fingerprint == THIRD
    with pytest.raises(RefusedError, match="nothing to go back to"):
        world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL)


def test_a_rollback_is_refused_without_an_earlier_version_and_nothing_changes(world: World) -> None:
    old = deploy_good(world)
    with pytest.raises(RefusedError, match="nothing to go back to"):
        world.apply(Choice.ROLLBACK, GOOD, sinks=GOOD_SQL)
    assert world.only.job_id == old.flink_job_id
    assert world.alerts.standing == {}


def test_a_rollback_is_refused_when_the_state_is_gone(world: World) -> None:
    old = deploy_good(world)
    bad = upgrade_to_bad(world)
    index = next(i for i, row in enumerate(world.store.rows) if row.generation == 1)
    world.store.rows[index] = record(
        DeploymentState.SUPERSEDED, fingerprint=GOOD, flink_job_id=old.flink_job_id, spec=old.spec
    )
    del world.flink.all[old.flink_job_id]
    with pytest.raises(RefusedError, match="no state of generation 1"):
        world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL)
    assert world.only.job_id == bad.flink_job_id


@pytest.mark.parametrize("moment", ["crash_before", "crash_after"])
def test_a_rollback_that_was_killed_is_finished_by_the_next_and_not_done_twice(world: World, moment: str) -> None:
    world.apply(fingerprint=THIRD)
    deploy_good(world)
    upgrade_to_bad(world)
    setattr(world.submitter, moment, True)
    with pytest.raises(Crash):
        world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL)
    done = world.apply(Choice.ROLLBACK, BAD, sinks=BAD_SQL)
    assert (done.fingerprint, done.trigger, done.state) == (GOOD, Trigger.ROLLBACK, DeploymentState.RUNNING)
    assert len(world.flink.live) == 1
    assert len(world.submitter.submitted) == 4


def test_the_last_good_version_came_up_and_is_recorded() -> None:
    stored = {"files": [{"path": "p", "text": "t"}]}
    bad = record(fingerprint=BAD, generation=4)
    never_up = record(fingerprint=THIRD, generation=3, running_at=None, spec=stored)
    not_recorded = record(fingerprint=GOOD, generation=2)
    good = record(fingerprint=GOOD, generation=1, spec=stored)
    assert last_good([bad, never_up, not_recorded, good]) == good
    assert last_good([bad, never_up, not_recorded]) is None
    assert last_good([]) is None


# -- redeploy -----------------------------------------------------------------------------------------------------


def test_a_redeploy_is_the_same_version_through_a_savepoint(world: World) -> None:
    old = deploy_good(world)
    again = world.apply(Choice.REDEPLOY, GOOD, sinks=GOOD_SQL)
    assert (again.generation, again.fingerprint, again.trigger) == (2, GOOD, Trigger.REDEPLOY)
    assert world.only.restored_path == f"file:/sp/savepoint-{old.flink_job_id[:6]}"


def test_a_redeploy_does_not_take_the_change_of_the_folder(world: World) -> None:
    deploy_good(world)
    assert world.apply(Choice.REDEPLOY, BAD, sinks=BAD_SQL).fingerprint == GOOD
    assert world.submitter.sql == ["INSERT INTO good"] * 2


def test_a_redeploy_that_was_killed_is_finished_once(world: World) -> None:
    deploy_good(world)
    world.submitter.crash_after = True
    with pytest.raises(Crash):
        world.apply(Choice.REDEPLOY, GOOD, sinks=GOOD_SQL)
    world.apply(Choice.REDEPLOY, GOOD, sinks=GOOD_SQL)
    assert len(world.submitter.submitted) == 2


def test_a_healthy_job_that_can_make_no_savepoint_is_not_redeployed(world: World) -> None:
    old = deploy_good(world)
    world.flink.no_savepoints = True
    with pytest.raises(Exception, match="goes on running"):
        world.apply(Choice.REDEPLOY, GOOD, sinks=GOOD_SQL)
    assert world.only.job_id == old.flink_job_id

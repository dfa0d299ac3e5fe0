"""What a job's first state fixes: a version with another value is parked, not submitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.flink_types import ExceptionEntry, FlinkState, VertexInfo
from gamestream_dagster.flink_jobs.control.applying import apply
from gamestream_dagster.flink_jobs.errors import JobSpecError, ParkedError
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.spec.fixed import fixed_changes, max_parallelism
from gamestream_dagster.flink_jobs.target.targets import Target, target_for
from gamestream_dagster.settings import Ranks, Season, Settings
from tests.support.fakes.job_specs import OUTPUT, job_spec, target
from tests.support.fakes.job_world import World

OLD, NEW = "f" * 64, "e" * 64


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({}, 128),
        ({"parallelism.default": "2"}, 128),
        ({"parallelism.default": "85"}, 128),
        ({"parallelism.default": "86"}, 256),
        ({"parallelism.default": "171"}, 256),
        ({"parallelism.default": "30000"}, 32768),
        ({"parallelism.default": "2", "pipeline.max-parallelism": "64"}, 64),
        ({"pipeline.max-parallelism": "-1"}, 128),
    ],
)
def test_the_key_groups_that_flink_gives_a_job(options: dict[str, str], groups: int) -> None:
    assert max_parallelism(options) == groups


@pytest.mark.parametrize(
    ("ran", "wanted", "told"),
    [
        ({}, {"pipeline.max-parallelism": "128"}, None),
        ({}, {"pipeline.max-parallelism": "256"}, "max_parallelism is 256 and the state has 128"),
        ({"parallelism.default": "2"}, {"parallelism.default": "4"}, None),
        ({"parallelism.default": "2"}, {"parallelism.default": "90"}, "the state has 128 key groups"),
        ({}, {"table.local-time-zone": "UTC"}, "table.local-time-zone is UTC"),
        ({"table.local-time-zone": "UTC"}, {"table.local-time-zone": "utc"}, None),
        ({}, {"table.exec.uid.generation": "DISABLED"}, "finds each operator's state by its id"),
        ({}, {"table.exec.uid.generation": "PLAN_ONLY"}, None),
        ({"table.exec.uid.format": "<transformation>"}, {}, "table.exec.uid.format"),
        ({}, {"pipeline.auto-generate-uids": "false"}, "pipeline.auto-generate-uids"),
        ({}, {"pipeline.operator-chaining.enabled": "false"}, "from their chains"),
        ({}, {"table.exec.async-state.enabled": "true"}, "asynchronous"),
        ({}, {"pipeline.force-kryo": "true"}, "another form"),
        ({}, {"pipeline.serialization-config": "[x]"}, "pipeline.serialization-config is [x]"),
        ({"pipeline.serialization-config": "[x]"}, {}, "is empty and the state was made with [x]"),
        ({"state.backend.type": "hashmap"}, {"state.backend.type": "rocksdb"}, None),
        ({"state.backend.type": "rocksdb"}, {"state.backend.type": "forst"}, "forst reads its own"),
        ({}, {"execution.checkpointing.interval": "1 s", "state.changelog.enabled": "true"}, None),
    ],
)
def test_which_options_a_state_outlives(ran: dict[str, str], wanted: dict[str, str], told: str | None) -> None:
    found = fixed_changes(ran, wanted, savepoint=True)
    assert [told in one for one in found] == [True] if told else found == ()


def test_a_checkpoint_belongs_to_its_backend_and_a_savepoint_does_not() -> None:
    ran, wanted = {"state.backend.type": "hashmap"}, {"state.backend.type": "rocksdb"}
    assert fixed_changes(ran, wanted, savepoint=True) == ()
    (told,) = fixed_changes(ran, wanted, savepoint=False)
    assert "only be read by the backend" in told


# -- in the planner ---------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World()


def version(fingerprint: str, groups: int | None, **options: str) -> Target:
    made = target(fingerprint)
    more = {} if groups is None else {"pipeline.max-parallelism": str(groups)}
    return replace(made, options={**made.options, **more, **{key.replace("_", "."): v for key, v in options.items()}})


def deploy(world: World, wanted: Target, choice: Choice = Choice.NONE) -> Deployment:
    made = apply(world.bench_of(wanted), choice, world.said.append)
    assert made is not None
    return made


@pytest.mark.parametrize("state", ["live", "suspended", "failed"])
def test_another_max_parallelism_is_parked_while_state_exists(world: World, state: str) -> None:
    old = deploy(world, version(OLD, 128))
    submitted = len(world.submitter.submitted)
    wanted = world.bench_of(version(NEW, 256))
    if state == "live":
        made = wanted.plan()
        assert (made.decision, made.steps) == (Decision.PARK, ())
        assert "max_parallelism is 256 and the state has 128 key groups" in made.reason
        assert made.choices == ("gamestream jobs apply totals_v1 --replay", "gamestream jobs apply totals_v1 --keep")
        with pytest.raises(ParkedError, match="128 key groups"):
            deploy(world, version(NEW, 256))
        assert len(world.submitter.submitted) == submitted
        assert world.only.job_id == old.flink_job_id
        return
    if state == "suspended":
        deploy(world, version(OLD, 128), Choice.SUSPEND)
        back = deploy(world, version(NEW, 256), Choice.RESUME)
    else:
        world.only.state = FlinkState.FAILED
        back = deploy(world, version(NEW, 256))
    assert back.fingerprint == OLD, "what it ran goes on; the change waits"


def test_each_choice_leads_somewhere(world: World) -> None:
    deploy(world, version(OLD, 128))
    kept = deploy(world, version(NEW, 256), Choice.KEEP)
    assert kept.hold is not None
    assert world.bench_of(version(NEW, 256)).plan().decision is Decision.NOTHING
    fresh = deploy(world, version(NEW, 256), Choice.REPLAY)
    assert (fresh.fingerprint, fresh.restore_path) == (NEW, None)
    assert world.bench_of(version("d" * 64, 256)).plan().decision is Decision.UPGRADE, "the new state has 256"


def test_a_version_from_before_the_setting_goes_on_with_what_flink_chose(world: World) -> None:
    deploy(world, version(OLD, None))
    assert world.bench_of(version(NEW, 128)).plan().decision is Decision.UPGRADE
    made = world.bench_of(version(NEW, 64)).plan()
    assert made.decision is Decision.PARK


def test_a_running_version_is_asked_what_its_cluster_gave_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(world, version(OLD, None))
    detail = world.flink.job

    def of_64(job_id: str) -> object:
        return replace(detail(job_id), vertices=(VertexInfo("v1", "Source: s", 1, 1, max_parallelism=64),))

    monkeypatch.setattr(world.flink, "job", of_64)
    made = world.bench_of(version(NEW, 128)).plan()
    assert (made.decision, "the state has 64" in made.reason) == (Decision.PARK, True)
    assert world.bench_of(version(NEW, 64)).plan().decision is Decision.UPGRADE


def test_a_job_without_state_takes_any_change(world: World) -> None:
    deploy(world, version(OLD, 128))
    world.only.checkpoints = 0
    row = world.store.last("totals_v1")
    assert row is not None
    world.store.save(row, running_at=None)
    world.only.failures = 6
    assert world.bench_of(version(NEW, 256)).plan().decision is not Decision.PARK


# -- in the folder ----------------------------------------------------------------------------------------------------


def test_every_job_of_ours_sets_it_and_deploys_with_it(tmp_path: Path) -> None:
    for name, spec in load_jobs(season=Season.DAILY, ranks=Ranks.ALL).items():
        assert yaml.safe_load((FLINK_SQL_DIR / name / "job.yaml").read_text())["max_parallelism"] == 128
        wanted = target_for(Settings(home=tmp_path), spec)
        assert wanted.options["pipeline.max-parallelism"] == "128"
        other = target_for(Settings(home=tmp_path), spec.model_copy(update={"max_parallelism": 256}))
        assert wanted.fingerprint != other.fingerprint


@pytest.mark.parametrize("value", [0, -1, 32769, "many", 1.5])
def test_a_max_parallelism_that_flink_does_not_take_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="max_parallelism"):
        job_spec(max_parallelism=value)


@pytest.mark.parametrize(("written", "told"), [("0", "1 or more"), ("two", "1 or more"), ("129", "at most")])
def test_a_parallelism_that_does_not_fit_is_refused(written: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        job_spec(flink={"parallelism.default": written})


def test_a_backend_that_makes_no_savepoints_is_refused() -> None:
    with pytest.raises(ValidationError, match="write rocksdb"):
        job_spec(flink={"state.backend.type": "forst"})
    job_spec(flink={"state.backend.type": "forst"}, upgrade_mode="stateless")


def test_the_option_is_written_as_its_field(tmp_path: Path) -> None:
    folder = tmp_path / "totals_v1"
    folder.mkdir()
    (tmp_path / "_sources").mkdir()
    (tmp_path / "_sources" / "s.sql").write_text("CREATE TEMPORARY VIEW v AS SELECT 1;")
    (folder / "query.sql").write_text("CREATE TEMPORARY VIEW w AS SELECT '1' AS user_id;")
    (folder / "outputs" / "w").mkdir(parents=True)
    (folder / "outputs" / "w" / "output.yaml").write_text(yaml.safe_dump(OUTPUT))
    (folder / "job.yaml").write_text(
        "description: d\nowners: [team:a]\nsources: [s.sql]\nreads: [a]\nflink: {pipeline.max-parallelism: 256}\n"
    )
    with pytest.raises(JobSpecError, match="write `max_parallelism: 256` beside `flink`"):
        load_job("totals_v1", tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        "Failed to rollback to checkpoint/savepoint file:/s. Max parallelism mismatch between checkpoint/savepoint"
        " state and new program. Cannot map operator 9a with max parallelism 64 to a new program.",
        "The maximum parallelism (64) with which the latest checkpoint of the execution job vertex Sink has been taken "
        "and the current maximum parallelism (128) changed. This is currently not supported.",
    ],
)
def test_flinks_own_refusal_is_no_unreadable_state(said: str) -> None:
    """An older checkpoint has the same key groups: trying it would lose events and mend nothing."""
    assert ExceptionEntry(1, "x", "x", f"java.lang.IllegalStateException: {said}").state_does_not_fit

"""SQL with an error of the linter is not submitted; what runs, or ran, goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given

from gamestream_dagster.clients.flink_types import FlinkState
from gamestream_dagster.flink_jobs.errors import RefusedError
from gamestream_dagster.flink_jobs.linter import lint as module
from gamestream_dagster.flink_jobs.linter.findings import Finding
from gamestream_dagster.flink_jobs.linter.lint import Report, errors_of
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision, PlanInput, Resubmit, Submit
from gamestream_dagster.flink_jobs.plan.planner import plan
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.target.targets import Target
from tests.support.fakes.job_questions import questions
from tests.support.fakes.job_specs import OUTPUT, target
from tests.support.fakes.job_world import World, sinks

NEW = "e" * 64
FAULT = "GS02 totals_v1/query.sql:1: SUM over INT"


@pytest.fixture
def world() -> World:
    return World()


@given(questions)
def test_no_plan_submits_the_folders_version_where_the_linter_finds_an_error(question: PlanInput) -> None:
    if question.findings:
        steps = [step for step in plan(question).steps if isinstance(step, Submit | Resubmit)]
        assert all(step.deployed is not None for step in steps)


def test_a_first_deployment_is_refused_with_the_finding_and_the_dry_run_shows_it(world: World) -> None:
    world.findings = (FAULT,)
    made = world.plan()
    assert (made.decision, made.steps) == (Decision.REFUSE, ())
    assert FAULT in made.reason
    assert "gamestream lint flink_sql/totals_v1" in made.reason
    with pytest.raises(RefusedError, match="GS02"):
        world.apply()
    assert world.submitter.submitted == []
    assert world.store.rows == []


@pytest.mark.parametrize("choice", [Choice.NONE, Choice.REPLAY])
def test_a_change_is_refused_and_what_runs_goes_on(world: World, choice: Choice) -> None:
    old = world.apply()
    world.findings = (FAULT,)
    with pytest.raises(RefusedError, match="GS02"):
        world.apply(choice, fingerprint=NEW)
    assert world.only.job_id == old.flink_job_id


def test_what_was_deployed_is_not_linted_again_and_is_always_brought_back(world: World) -> None:
    """A rule that is new must not stand between a job and its healing."""
    world.apply()
    world.findings, world.linted = (FAULT,), 0
    world.only.state = FlinkState.FAILED
    assert world.apply(Choice.HEAL).generation == 2
    world.apply(Choice.SUSPEND)
    world.apply(Choice.RESUME)
    assert world.linted == 0


def version(fingerprint: str, text: str) -> Target:
    return target(fingerprint, sinks=sinks(text))


def test_a_job_that_failed_comes_back_with_the_sql_that_it_ran(world: World) -> None:
    from gamestream_dagster.flink_jobs.control.applying import apply

    old, faulty = version("f" * 64, "INSERT INTO a SELECT 1"), version(NEW, "INSERT INTO a SELECT 2")
    apply(world.bench_of(old), Choice.NONE, world.said.append)
    world.findings = (FAULT,)
    world.only.state = FlinkState.FAILED
    made = world.bench_of(faulty).plan(Choice.HEAL)
    assert [step.deployed for step in made.steps if isinstance(step, Submit)] in ([1], [])
    back = apply(world.bench_of(faulty), Choice.HEAL, world.said.append)
    assert back is not None
    assert (back.generation, back.fingerprint, back.deployed) == (2, "f" * 64, 1)


def test_only_errors_count_and_a_refusal_is_left_to_the_preflight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "totals_v1"
    folder.mkdir()
    (folder / "job.yaml").write_text("description: d\nowners: [team:a]\nsources: [s.sql]\nreads: [scores]\n")
    (tmp_path / "_sources").mkdir()
    (tmp_path / "_sources" / "s.sql").write_text("CREATE TEMPORARY TABLE t (one INT) WITH ('connector' = 'blackhole');")
    (folder / "query.sql").write_text("CREATE TEMPORARY VIEW v AS SELECT '1' AS user_id;")
    (folder / "outputs" / "v").mkdir(parents=True)
    (folder / "outputs" / "v" / "output.yaml").write_text(yaml.safe_dump(OUTPUT))
    spec = load_job("totals_v1", tmp_path)
    findings = tuple(Finding(str(folder / "query.sql"), 1, code, "told") for code in ("GS01", "GS12", "GS16"))
    monkeypatch.setattr(module, "lint", lambda units, gateway: Report(findings, 1))
    assert errors_of(spec, tmp_path, None) == ("GS01 totals_v1/query.sql:1: told",)  # type: ignore[arg-type]
    accepting = spec.model_copy(update={"lint_accepts": ("GS01",)})
    assert errors_of(accepting, tmp_path, None) == ()  # type: ignore[arg-type]
    assert spec.fingerprint({}, {}, {}) == accepting.fingerprint({}, {}, {})

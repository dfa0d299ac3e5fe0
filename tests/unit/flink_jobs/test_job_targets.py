"""What a deployment ran, recorded and made ready to run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.observe.positions import kept_positions
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.flink_jobs.target.targets import target_as_deployed, target_for, what_ran
from gamestream_dagster.settings import Season, Settings, TopicFormat
from tests.support.fakes.job_questions import record

SECRET = "canary-of-the-password"


def settings(home: Path, **changes: object) -> Settings:
    fields = {"home": home, "port_base": 21000, "postgres_password": SECRET, **changes}
    return Settings.model_validate(fields)


def recorded(spec: JobSpec, stack: Settings) -> Deployment:
    """The deployment's record after a journey through the table's JSON."""
    target = target_for(stack, spec)
    return record(fingerprint=target.fingerprint, job=spec.name, spec=json.loads(json.dumps(what_ran(target))))


def otherwise(spec: JobSpec) -> JobSpec:
    """The folder as somebody changed it meanwhile."""
    other = SqlFile(path=spec.query.path, text="CREATE TEMPORARY VIEW other AS SELECT 1;")
    changed = {"query": other, "flink": {"parallelism.default": "7"}, "restart_nonce": 9, "aggregate_batch": 7}
    return spec.model_copy(update=changed)


@pytest.mark.parametrize("encoding", TopicFormat)
@pytest.mark.parametrize("job", load_jobs())
def test_the_same_runs_again_whatever_became_of_the_folder(job: str, encoding: TopicFormat, tmp_path: Path) -> None:
    stack, spec = settings(tmp_path, topic_formats={"user-score": encoding}), load_jobs()[job]
    ran, again = target_for(stack, spec), target_as_deployed(stack, otherwise(spec), recorded(spec, stack))
    assert (again.fingerprint, again.rendered, again.options) == (ran.fingerprint, ran.rendered, ran.options)
    assert what_ran(again) == what_ran(ran)


def test_it_runs_with_the_addresses_of_today_and_the_encoding_of_then(tmp_path: Path) -> None:
    spec = load_jobs()["leaderboards_v1"]
    then = recorded(spec, settings(tmp_path, topic_formats={"user-score": TopicFormat.AVRO}))
    again = target_as_deployed(settings(tmp_path, kafka_bootstrap="moved:9092"), spec, then)
    text = " ".join(again.rendered.definitions)
    assert "moved:9092" in text
    assert "gamestream-avro" in text
    assert again.fingerprint != then.fingerprint  # an address is part of what it does


def test_a_record_of_the_first_versions_names_one_encoding_for_all_topics(tmp_path: Path) -> None:
    spec, avro = load_jobs()["leaderboards_v1"], settings(tmp_path, topic_formats={"user-score": TopicFormat.AVRO})
    then = recorded(spec, avro)
    ran = {name: value for name, value in then.spec.items() if name != "formats"} | {"score_format": "avro"}
    again = target_as_deployed(settings(tmp_path), spec, replace(then, spec=ran))
    assert again.fingerprint == then.fingerprint


def test_a_value_that_belongs_to_the_state_is_that_of_then(tmp_path: Path) -> None:
    spec = load_jobs(season=Season.HOURLY)["season_boards_v1"]
    then = recorded(spec, settings(tmp_path, season=Season.HOURLY))
    again = target_as_deployed(settings(tmp_path, season=Season.DAILY), spec, then)
    assert again.fingerprint == then.fingerprint
    assert target_for(settings(tmp_path, season=Season.DAILY), spec).fingerprint != then.fingerprint


def test_limits_and_upgrade_mode_are_those_of_the_folder_now(tmp_path: Path) -> None:
    spec, stack = load_jobs()["leaderboards_v1"], settings(tmp_path)
    now = spec.model_copy(update={"limits": spec.limits.model_copy(update={"restore_age_hours": 5.0})})
    assert target_as_deployed(stack, now, recorded(spec, stack)).spec.limits.restore_age_hours == 5


@pytest.mark.parametrize("job", load_jobs())
def test_no_secret_is_recorded(job: str, tmp_path: Path) -> None:
    stack = settings(tmp_path)
    target = target_for(stack, load_jobs()[job])
    assert SECRET in " ".join((*target.rendered.definitions, target.rendered.statement_set))
    assert SECRET not in json.dumps(what_ran(target))
    assert "${postgres_password}" in json.dumps(what_ran(target))


@pytest.mark.parametrize("key", ["s3.secret-key", "s3.access-key", "properties.sasl.jaas.config", "x.Password"])
def test_a_secret_among_the_options_is_refused(key: str, tmp_path: Path) -> None:
    source = load_jobs()["leaderboards_v1"].folder
    folder = tmp_path / "leaderboards_v1"
    folder.mkdir()
    (tmp_path / "_sources").symlink_to(source.parent / "_sources")
    (folder / "outputs").symlink_to(source / "outputs")
    (folder / "query.sql").write_text((source / "query.sql").read_text())
    text = (source / "job.yaml").read_text()
    (folder / "job.yaml").write_text(text.replace("flink:\n", f"flink:\n  {key}: hunter2\n"))
    with pytest.raises(JobSpecError, match="holds a secret") as raised:
        load_job("leaderboards_v1", tmp_path)
    assert "hunter2" not in str(raised.value)


def test_positions_come_back_from_json_with_numbers_for_partitions() -> None:
    kept = json.loads(json.dumps({"positions": {"user-score": {0: 5, 1: 7}}}))
    assert kept_positions(kept) == {"user-score": {0: 5, 1: 7}}
    assert kept_positions({}) is None
    assert kept_positions({"positions": None}) is None

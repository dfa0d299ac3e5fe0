"""A job's parallelism: a share of the cluster's cores, unless somebody wrote a number; and what a plan says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.flink_jobs.plan.model import Compatibility, Decision, Parallelism
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.fixed import PARALLELISM
from gamestream_dagster.flink_jobs.target import parallelism as module
from gamestream_dagster.flink_jobs.target.parallelism import parallelism_of
from gamestream_dagster.flink_jobs.target.targets import target_for
from gamestream_dagster.settings import Ranks, Season, Settings, SettingsError, load_settings
from tests.support.fakes.job_questions import OLD, decide, record, seen
from tests.support.fakes.job_specs import job_spec


def wide(cores: int, *, external: bool = False, spec: dict[str, Any] | None = None, **settings: Any) -> int:
    origins = {"flink_rest_url": "environment"} if external else {}
    return parallelism_of(Settings(flink_cores=cores, origins=origins, **settings), job_spec(**(spec or {})))


@pytest.mark.parametrize(("cores", "tasks"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 2), (64, 2)])
def test_the_embedded_cluster_keeps_slots_for_four_jobs(cores: int, tasks: int) -> None:
    assert wide(cores) == tasks


@pytest.mark.parametrize(
    ("cores", "share", "tasks"), [(64, 0.5, 32), (10, 0.3, 3), (10, 0.1, 1), (7, 1.0, 7), (3, 0.01, 1)]
)
def test_a_cluster_elsewhere_gives_a_job_its_share(cores: int, share: float, tasks: int) -> None:
    assert wide(cores, external=True, job_core_share=share) == tasks


def test_a_written_number_wins_and_key_groups_bound_a_share() -> None:
    assert wide(64, external=True, spec={"max_parallelism": 8}) == 8
    assert wide(2, spec={"flink": {PARALLELISM: "6"}}) == 6
    assert wide(2, flink_options={PARALLELISM: "3"}) == 3
    assert wide(2, flink_options={PARALLELISM: "3"}, spec={"flink": {PARALLELISM: "1"}}) == 1


def test_without_a_number_the_cores_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 4)
    assert parallelism_of(Settings(), job_spec()) == 2
    monkeypatch.setattr(module.os, "cpu_count", lambda: None)
    assert parallelism_of(Settings(), job_spec()) == 1
    assert parallelism_of(Settings(origins={"flink_rest_url": "profile"}), job_spec()) == 1


def test_our_own_jobs_follow_the_setting(tmp_path: Path) -> None:
    for spec in load_jobs(season=Season.DAILY, ranks=Ranks.ALL).values():
        narrow, broad = (target_for(load_settings(tmp_path, flink_cores=cores), spec) for cores in (2, 4))
        assert (narrow.options[PARALLELISM], broad.options[PARALLELISM]) == ("1", "2")
        assert narrow.fingerprint != broad.fingerprint  # it is taken up as a change


@pytest.mark.parametrize("share", [0, 1.5, -1])
def test_a_share_is_a_share(share: float, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'job_core_share' .*cannot be used"):
        load_settings(tmp_path, job_core_share=share)


def test_a_plan_tells_the_parallelism_and_its_change() -> None:
    changes = {"compatibility": Compatibility.COMPATIBLE, "parallelism": Parallelism(1, 2)}
    made = decide(seen(), record(fingerprint=OLD), **changes)
    assert (made.decision, made.parallelism) == (Decision.UPGRADE, Parallelism(1, 2))
    assert "resume from it with a parallelism of 1 instead of 2" in made.reason
    assert [Parallelism(2).told, Parallelism(2, 2).told, Parallelism(1, 2).told] == ["2", "2", "1 (now 2)"]

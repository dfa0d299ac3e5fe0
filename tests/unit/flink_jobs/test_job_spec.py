from __future__ import annotations

from typing import Any

import pytest

from gamestream_dagster.flink_jobs.spec.job_spec import ALL_JSON, SqlFile, flink_job_name, parse_flink_job_name
from tests.support.fakes.job_specs import QUERY, job_spec

VALUES = {"kafka_bootstrap": "k:1", "jdbc_url": "jdbc:x"}


def fingerprint(options: dict[str, str] | None = None, values: dict[str, Any] = VALUES, **changes: Any) -> str:
    return job_spec(**changes).fingerprint(options or {}, values, ALL_JSON)


def query(text: str) -> SqlFile:
    return SqlFile(path="totals_v1/query.sql", text=text)


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "Other words."},
        {"owners": ("team:other",)},
        {"title": "T"},
        {"upgrade_mode": "last-state"},
        {"desired_state": "suspended"},
        {"limits": {"start_seconds": 5}},
        {"query": query("-- a comment\n" + QUERY.replace(" ", "  "))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_changes_no_behaviour_changes_no_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) == fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"query": query(QUERY.replace("user_id", "team_id"))},
        {"restart_nonce": 1},
        {"flink": {"parallelism.default": "2"}},
        {"options": {"execution.checkpointing.interval": "1 s"}},
        {"values": {**VALUES, "kafka_bootstrap": "k:2"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_changes_behaviour_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) != fingerprint()


def test_a_value_that_no_file_uses_does_not_count() -> None:
    assert fingerprint(values={**VALUES, "jdbc_url": "jdbc:y"}) == fingerprint()


def test_the_name_in_flink_says_job_version_and_generation() -> None:
    name = flink_job_name("totals_v1", "0123456789abcdef", 12)
    assert name == "totals_v1@01234567-g12"
    assert parse_flink_job_name(name) == ("totals_v1", "01234567", 12)


@pytest.mark.parametrize("name", ["insert-into_default", "a@b-g1", "a@01234567", "a@01234567-gx", ""])
def test_other_names_are_not_ours(name: str) -> None:
    assert parse_flink_job_name(name) is None

"""The acceptance rule is declared once: Flink's CASE and the Pydantic model are made from it, and agree."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from gamestream_dagster.catalogue.event_type import EventType, score_event
from gamestream_dagster.events import flink_json
from gamestream_dagster.events.event_model import KAFKA_TIMESTAMP, event_model
from gamestream_dagster.events.flink_rule import accepted_condition, time_condition
from gamestream_dagster.settings import PROJECT_ROOT
from tests.support.acceptance_cases import Case, load_cases

EVENT = score_event()
SOURCES = PROJECT_ROOT / "flink_sql" / "_sources"


def sql(name: str) -> str:
    """A source's text without comments, each run of white space as one blank."""
    return " ".join(re.sub(r"--[^\n]*", "", (SOURCES / name).read_text(encoding="utf-8")).split())


def test_the_case_of_the_jobs_is_the_one_made_from_the_declaration() -> None:
    condition = re.search(r"CASE WHEN (.*?) THEN TRY_CAST\(score AS BIGINT\) END AS points", sql("checked_scores.sql"))
    assert condition is not None
    of_nobody_erased = " AND (${erased_players} = ''"
    assert condition[1].partition(of_nobody_erased)[0] == accepted_condition(EVENT)


@pytest.mark.parametrize("name", ["user_score.sql", "user_score.avro.sql"])
def test_the_time_of_the_sources_is_the_one_made_from_the_declaration(name: str) -> None:
    assert f"event_time AS CASE WHEN {time_condition(EVENT)} THEN" in sql(name)


def changed(**fields: dict[str, object]) -> EventType:
    described = EVENT.model_dump()
    for name, changes in fields.items():
        described["fields"][name] |= changes
    described["fields"]["event_time_millis"]["max_ahead"] = "30m"
    return EventType.model_validate(described)


def test_a_changed_declaration_changes_the_case() -> None:
    event = changed(team_name={"max_length": 50}, event_type={"max_length": 9}, score={"minimum": 1})
    condition = accepted_condition(event)
    assert "CHAR_LENGTH(team_name) <= 50" in condition
    assert "(event_type IS NULL OR CHAR_LENGTH(event_type) <= 9)" in condition
    assert "TRY_CAST(score AS BIGINT) BETWEEN 1 AND 1000000000000" in condition
    assert "INTERVAL '30' MINUTE" in time_condition(event)


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_the_model_accepts_what_the_job_accepts(case: Case) -> None:
    accepted = None
    try:
        document = flink_json.parse(case.value or b"")
        if isinstance(document, dict):
            accepted = event_model(EVENT).model_validate(document, context={KAFKA_TIMESTAMP: case.kafka_timestamp})
    except (flink_json.NotJsonError, flink_json.NotUtf8Error, ValidationError):
        pass
    assert (accepted is None) == (case.reason is not None)
    if accepted is not None:
        found = accepted.model_dump()
        assert {name: found[name] or None for name in case.fields} == {
            name: value or None for name, value in case.fields.items()
        }

"""The Flink format and the Python judge decide alike about every game event: the table of cases, and spoilt events.

No server: the format's own classes run in a JVM.
"""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

import pytest

from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.catalogue.game_rules import rules_document
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameReason, GameRefused
from tests.support.game_event_cases import NOW, all_cases
from tests.support.java_probe import compiled
from tests.support.spoilt_events import spoilt

JUDGE = GameEventJudge()
BEFORE_TIME = tuple(GameReason)[: tuple(GameReason).index(GameReason.FUTURE_TIMESTAMP)]
Record = tuple[bytes | None, int]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that judges records in Java."""
    return compiled(tmp_path_factory.mktemp("probe"), "GameProbe")["GameProbe"]


def in_java(probe: list[str], records: list[Record]) -> list[dict[str, Any]]:
    """What the format says, with the rule about the Kafka timestamp that the job's SQL adds."""
    lines = [rules_document(), *("-" if value is None else value.hex() for value, _ in records)]
    done = subprocess.run(probe, input="\n".join([*lines, ""]), capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(told) == len(records)
    return [_timed(one, at) for one, (_, at) in zip(told, records, strict=True)]


def _timed(told: dict[str, Any], kafka_timestamp: int) -> dict[str, Any]:
    derived = told.pop("derived_id", None)
    if told["reason"] is None and "event_time" not in told:
        told["event_time"] = kafka_timestamp
        derived = derived and f"{derived}-{kafka_timestamp}"
    if derived is not None:
        told["event_id"] = derived
    times, millis = load_game_events().times, told.get("event_time")
    if millis is None or told["reason"] in BEFORE_TIME:
        return told
    if millis > kafka_timestamp + times.max_ahead:
        return {"reason": "FUTURE_TIMESTAMP", "field": _units("event_time")}
    if millis < kafka_timestamp - times.max_age:
        return {"reason": "TOO_OLD", "field": _units("event_time")}
    return told


def _units(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-16-be", "surrogatepass").hex()


def in_python(record: Record) -> dict[str, Any]:
    outcome = JUDGE.judge(*record)
    if isinstance(outcome, GameRefused):
        return {"reason": outcome.reason.value, "field": outcome.field}
    found = outcome._asdict()
    found |= {"event_time": found.pop("event_time_millis"), "unknown_field": found.pop("remark") is not None}
    del found["late"]
    return {"reason": None} | {name: value for name, value in found.items() if value is not None}


def unlike(probe: list[str], records: list[Record]) -> list[tuple[Record, Any, Any]]:
    found: list[tuple[Record, Any, Any]] = []
    for record, java_says in zip(records, in_java(probe, records), strict=True):
        python_says, java_told = in_python(record), java_says
        if java_says["reason"] is not None:
            java_told = {name: java_says[name] for name in ("reason", "field")}
            python_says["field"] = _units(python_says["field"])
        if java_says["reason"] == GameReason.BAD_TEXT:  # Python shows the path escaped
            java_told["field"] = python_says["field"]
        if java_told != python_says:
            found.append((record, java_told, python_says))
    return found


def test_every_case_of_the_table(probe: list[str]) -> None:
    records = [(case.value, case.kafka_timestamp) for case in all_cases()]
    assert not unlike(probe, records)


def test_spoilt_events(probe: list[str]) -> None:
    chance = random.Random(17)
    plain = [case.value for case in all_cases() if case.value and len(case.value) < 4_000]
    records = [(spoilt(chance, chance.choice(plain)), NOW + chance.choice([0, 10**9, -(10**9)])) for _ in range(20_000)]
    assert not unlike(probe, records)
    reasons = {in_python(record)["reason"] for record in records}
    assert {"NOT_UTF8", "NOT_JSON", "MISSING_FIELD", "WRONG_TYPE", "TOO_OLD", "FUTURE_TIMESTAMP", None} <= reasons

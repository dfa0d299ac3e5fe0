"""The Flink format and the Python judge decide alike about every Avro record. No server: its classes run in a JVM."""

from __future__ import annotations

import random

import pytest

from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.connections import RegistryConnection
from gamestream_dagster.events.game_judge import GameEventJudge
from tests.integration import test_game_event_parity as parity
from tests.support.avro_records import framed
from tests.support.game_avro import cases, generated, hostile
from tests.support.game_event_cases import NOW, all_cases
from tests.support.hostile_schemas import BODIES, SCHEMAS
from tests.support.java_probe import compiled
from tests.support.schema_server import Schemas, serving
from tests.support.spoilt_events import spoilt


def test_every_case_and_spoilt_records(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas, chance = Schemas(), random.Random(11)
    values = [one.value(schemas) for one in cases()]
    for number in range(400):
        schema, body = generated(chance, number)
        values.append(framed(schemas.add(schema), body))
    short = [value for value in values if len(value) < 5_000]
    values += [value[:5] + spoilt(chance, value[5:]) for value in short * 15]
    values += hostile(chance)
    values += [case.value for case in all_cases() if case.value is not None and len(case.value) < 1_000]
    with serving(schemas) as url, Registry(RegistryConnection(url)) as registry:
        monkeypatch.setattr(parity, "JUDGE", GameEventJudge(registry=registry))
        probe = [*compiled(tmp_path, "GameProbe")["GameProbe"], url]
        found = parity.unlike(probe, [(value, NOW) for value in values])
    assert not found, found[:3]
    reasons = {parity.in_python((value, NOW))["reason"] for value in values[:400]}
    assert {None, "NOT_AVRO", "NOT_UTF8", "WRONG_TYPE", "BAD_TIMESTAMP"} <= reasons


def test_hostile_schemas(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is stopped by one could never read on: neither implementation is, and they decide alike."""
    schemas = Schemas()
    values = [framed(schemas.add(text), body) for text in SCHEMAS.values() for body in BODIES]
    with serving(schemas) as url, Registry(RegistryConnection(url)) as registry:
        monkeypatch.setattr(parity, "JUDGE", GameEventJudge(registry=registry))
        probe = [*compiled(tmp_path, "GameProbe")["GameProbe"], url]
        found = parity.unlike(probe, [(value, NOW) for value in values])
    names = [name for name in SCHEMAS for _ in BODIES]
    assert not found, [(names[values.index(record[0])], said) for record, *said in found[:3]]

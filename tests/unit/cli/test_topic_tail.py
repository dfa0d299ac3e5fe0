"""`gamestream topic tail --follow` on a topic that is deleted and created again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gamestream_dagster.cli import topics
from gamestream_dagster.cli.main import build
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.clients import kafka_admin
from gamestream_dagster.events import tail


def test_records_of_another_incarnation_are_not_passed_over_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ids = iter(["first", "first", "second"])
    ends = iter([{0: 9}, {0: 12}, {0: 3}])
    asked: list[tuple[int, int]] = []

    class Admin:
        def __init__(self, _: str) -> None:
            pass

        def topics(self) -> list[str]:
            return ["scores"]

        def topic_id(self, _: str) -> str:
            return next(ids)

        def end_offsets(self, _: str, **__: bool) -> dict[int, int]:
            return next(ends)

        def beginning_offsets(self, _: str) -> dict[int, int]:
            return {0: 0}

    monkeypatch.setattr(kafka_admin, "KafkaAdmin", Admin)
    monkeypatch.setattr(tail, "last_records", lambda *_: [])
    monkeypatch.setattr(tail, "records_between", lambda _, __, start, upto: asked.append((start[0], upto[0])) or [])
    monkeypatch.setattr(topics, "FOLLOW_SECONDS", 0)
    done = CliRunner().invoke(build(), ["topic", "tail", "scores", "--follow", "--home", str(tmp_path)])
    assert isinstance(done.exception, CouldNotRun)
    assert asked == [(9, 12)]
    assert "scores was deleted and created again" in str(done.exception)


def test_numbers_that_json_has_not_are_texts(capsys: pytest.CaptureFixture[str]):
    record = tail.TailedRecord(0, 1, 2, None, b"")
    topics._print_json(record, float("nan"), {"a": [float("-inf"), 0.5]})
    read = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert read["key"] == "NaN"
    assert read["value"] == {"a": ["-Infinity", 0.5]}

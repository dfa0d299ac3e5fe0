"""`gamestream events`: verdicts, exit codes, schemas."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gamestream_dagster.cli import game_events as module
from gamestream_dagster.cli.options import CouldNotRun
from tests.support.game_event_cases import CATALOGUE, NOW, plain_event

AT = ["--received", str(NOW)]
Call = Callable[..., Any]


def event(**changes: Any) -> dict[str, Any]:
    return plain_event(CATALOGUE.types["item_purchase"]) | changes


@pytest.fixture
def call() -> Call:
    app = typer.Typer()
    module.register(app)
    return lambda *arguments, **more: CliRunner().invoke(app, ["events", *arguments], **more)


def test_accepted_events(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [event(), event(stray=1, event_time=NOW - 700_000)]
    path.write_text("\n".join(map(json.dumps, lines)))
    result = call("validate", str(path), *AT)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "line 1: accepted item_purchase",
        "line 2: accepted item_purchase (late, UNKNOWN_FIELD)",
    ]
    assert "EVENTS=2 ACCEPTED=2 LATE=1 REFUSED=0" in result.stderr


def test_good_bad_good(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "events.json.gz"
    path.write_bytes(gzip.compress(json.dumps([event(), event(user_id=None), event()], indent=1).encode()))
    result = call("validate", str(path), "--refused", *AT)
    assert result.exit_code == 1
    [line] = result.stdout.splitlines()
    assert line.endswith("refused MISSING_FIELD: user_id is missing, null or empty; send it")
    assert "EVENTS=3 ACCEPTED=2 LATE=0 REFUSED=1 MISSING_FIELD=1" in result.stderr


def test_json_of_standard_input(call: Call) -> None:
    data = json.dumps(event()).encode() + b'\n{"event_type":"\xff"}\n{\n'
    result = call("validate", "-", "--json", *AT, input=data)
    assert result.exit_code == 1
    first, second, third = map(json.loads, result.stdout.splitlines())
    assert (first["line"], first["verdict"], first["event_type"], first["late"]) == (
        1,
        "accepted",
        "item_purchase",
        False,
    )
    assert (second["line"], second["code"], second["field"]) == (2, "NOT_UTF8", None)
    assert (third["line"], third["code"]) == (3, "NOT_JSON")
    assert "not JSON" in third["message"]


def test_times_are_judged_by_now_or_by_a_given_time(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(event()))
    assert "TOO_OLD" in call("validate", str(path)).stdout
    assert call("validate", str(path), "--received", "2023-11-14T22:13:20Z").exit_code == 0
    for given, said in (("yesterday", "is not a time"), ("2023-11-14T22:13:20", "has no zone")):
        with pytest.raises(CouldNotRun, match=said):
            call("validate", str(path), "--received", given, standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"", "has no events"), (b"[]", "has no events"), (b"\x1f\x8b\x08", "gzip")],
)
def test_could_not_look(call: Call, tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CouldNotRun, match=said):
        call("validate", str(path), catch_exceptions=False)


def test_types_and_schemas(call: Call) -> None:
    assert "level_start" in call("types").stdout
    assert {one["name"] for one in json.loads(call("types", "--json").stdout)} == CATALOGUE.types.keys()
    assert json.loads(call("schema", "2001").stdout)["title"] == "item_purchase"
    assert json.loads(call("schema", "score", "--format", "avro").stdout)["name"] == "Score"
    with pytest.raises(CouldNotRun, match="There is no event type 'nothing'; the types are: chat_sent"):
        call("schema", "nothing", catch_exceptions=False)

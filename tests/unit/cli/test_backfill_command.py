"""`gamestream backfill` and `gamestream simulate --days`: exit codes, sentences, and refused options."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gamestream_dagster.cli import backfill, events
from gamestream_dagster.cli.options import CouldNotRun

Call = Callable[..., Any]
GOOD = {"event_id": "a", "user_id": "ann", "event_type": "player_join", "event_time": "2020-01-01T00:00:00Z"}


@pytest.fixture
def call(tmp_path: Path) -> Call:
    app = typer.Typer()
    backfill.register(app)
    events.register(app)
    return lambda *given, **more: CliRunner().invoke(app, [*given, "--home", str(tmp_path / "home")], **more)


def test_a_file_with_a_bad_line_ends_with_1_and_twice_with_0(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(GOOD) + "\n{\n")
    result = call("backfill", str(path), "--json", "--by", "me")
    assert result.exit_code == 1
    assert "line 2: NOT_JSON: not JSON" in result.stderr
    assert "EVENTS=2 ACCEPTED=1 COPIES=0 REFUSED=1 NOT_JSON=1  2020-01-01" in result.stderr
    told = json.loads(result.stdout)
    assert (told["events"], told["accepted"], told["refused"], told["days"]) == (2, 1, {"NOT_JSON": 1}, ["2020-01-01"])
    assert Path(told["rejects"]).parent == tmp_path / "home" / "rejects"
    again = call("backfill", str(path))
    assert again.exit_code == 0
    assert "Nothing to do: the same content was backfilled on" in again.stderr
    runs = json.loads(call("backfill", "--runs", "--json").stdout)
    assert [(one["by"], one["name"], one["accepted"]) for one in runs] == [("me", "old.jsonl", 1)]
    assert "old.jsonl" in call("backfill", "--runs").stdout


def test_days_of_lives(call: Call) -> None:
    result = call("simulate", "--days", "2", "--players", "15", "--seed", "3", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    today = datetime.now(UTC).date()
    assert told["days"] == [str(today - timedelta(days=2)), str(today - timedelta(days=1))]
    assert (Path(told["truth"]) / "truth.json").is_file()
    again = call("backfill", "--days", "2", "--players", "15", "--seed", "3", "--json")
    assert json.loads(again.stdout)["already_backfilled"], "both commands make the same lives"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["backfill"], "either a file"),
        (["backfill", "a", "--days", "2"], "either a file"),
        (["backfill", "nothing.jsonl"], "nothing.jsonl cannot be read"),
        (["backfill", "a", "--players", "9"], "--players belongs to --days"),
        (["backfill", "--days", "0"], "--days: Input should be greater"),
        (["backfill", "--days", "2", "--players", "0"], "--players: Input should be greater"),
        (["backfill", "--days", "2", "--start", "soon"], "write it as 2026-01-31"),
        (["backfill", "--days", "2", "--start", "2099-01-01"], "are not history"),
        (["backfill", "--days", "2", "--start", "2000-01-01"], "are not history"),
        (["backfill", "--days", "2", "--start", str(datetime.now(UTC).date() - timedelta(days=1))], "end yesterday"),
        (["simulate", "--days", "2", "--dup", "60", "--bad", "60"], "over 100 per cent"),
        (["simulate", "--days", "2", "--late", "5"], "--late does not go with --days"),
        (["simulate", "--days", "2", "--duration", "5"], "--duration does not go with --days"),
        (["simulate", "--days", "2", "--regions"], "--regions does not go with --days"),
        (["simulate", "--regions", "--zipf", "1"], "--zipf does not go with --regions"),
        (["simulate", "--regions", "--players", "0"], "--players: Input should be greater"),
        (["simulate", "--regions", "--start", "2000-01-01"], "--start: Input should be greater"),
        (["simulate", "--days", "2", "--rate", "5"], "--rate does not go with --days"),
        (["simulate", "--days", "2", "--truth", "x", "--no-truth"], "exclude each other"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(call: Call, given: list[str], said: str) -> None:
    result = call(*given)
    assert isinstance(result.exception, CouldNotRun)
    assert said in str(result.exception)

"""`gamestream dlq` on a broker in memory: what it prints, its exit codes, and its sentences about bad options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from gamestream_dagster.cli import dlq
from gamestream_dagster.cli.main import build
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.dead_letters import transaction
from gamestream_dagster.dead_letters.reading import DLQ_TOPIC
from tests.support.fakes.dead_letter_broker import ENRICHED, RAW, Broker, Intake
from tests.support.game_event_cases import NOW

Call = Callable[..., Any]
FIXES = "fixes: [{when: {reason: WRONG_TYPE}, do: [{cast: {field: properties.score, to: integer}}]}]"


@pytest.fixture
def broker() -> Broker:
    return Broker(NOW)


@pytest.fixture
def call(broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setattr(dlq, "_reader", lambda _: broker.reader())
    monkeypatch.setattr(dlq, "_now", lambda: broker.now)
    monkeypatch.setattr(transaction, "Replayer", lambda _: broker.replayer())
    home = ["--home", str(tmp_path / "home")]
    return lambda *arguments: CliRunner().invoke(build(), ["dlq", *arguments, *home])


@pytest.fixture
def fixes(tmp_path: Path) -> str:
    path = tmp_path / "fixes.yaml"
    path.write_text(FIXES)
    return str(path)


@pytest.fixture
def letters(broker: Broker) -> Intake:
    """Three letters: a score as text, one without a player, one that is no text."""
    properties = {"team_id": "t1", "team_name": "Reds", "score": "7"}
    event = {"event_id": "e1", "user_id": "u1", "event_type": "score", "event_time": NOW, "properties": properties}
    broker.append(RAW, orjson.dumps(event))
    broker.append(RAW, orjson.dumps({"event_id": "e\u001b2", "event_type": "player_join", "event_time": NOW}))
    broker.append(RAW, b"\xff\xfe")
    intake = Intake(broker)
    intake.run()
    return intake


def test_list(call: Call, letters: Intake) -> None:
    done = call("list")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["POSITION", "KAFKA", "TIME"]
    assert [line.split()[0] for line in lines[1:]] == ["p0@0", "p0@1", "p0@2"]
    assert "\x1b" not in done.output
    assert "LETTERS=3 SHOWN=3 WRONG_TYPE=1 MISSING_FIELD=1 NOT_UTF8=1" in done.stderr


def test_list_as_json_with_filters(call: Call, letters: Intake) -> None:
    found = json.loads(call("list", "--json", "--reason", "wrong_type", "--type", "score").stdout)
    assert [one["event_id"] for one in found["letters"]] == ["e1"]
    assert found["by_reason"] == {"WRONG_TYPE": 1}
    newest = json.loads(call("list", "--json", "-n", "1").stdout)
    assert ([one["position"] for one in newest["letters"]], newest["matching"]) == (["p0@2"], 3)
    assert json.loads(call("list", "--json", "--since", "1h").stdout)["matching"] == 3
    assert json.loads(call("list", "--json", "--until", "1h").stdout)["matching"] == 0


def test_a_record_that_is_no_letter_is_said_and_hides_none(call: Call, broker: Broker, letters: Intake) -> None:
    broker.append(DLQ_TOPIC, b"{}")
    done = call("list")
    assert "p0@3 of the dead-letter topic is no dead letter" in done.stderr
    assert "LETTERS=3" in done.stderr


def test_show_by_position_and_by_id(call: Call, letters: Intake) -> None:
    done = call("show", "p0@0")
    assert done.exit_code == 0
    assert "properties.score is a text; send a whole number, without quotes" in done.stdout
    assert '"score":"7"' in done.stdout
    assert json.loads(call("show", "e1", "--json").stdout) == json.loads(call("show", "p0@0", "--json").stdout)
    assert json.loads(call("show", "p0@2", "--json").stdout)[0]["content_base64"] == "//4="


def test_show_says_what_became_of_a_letter(call: Call, letters: Intake, fixes: str) -> None:
    call("fix-and-replay", "--fixes", fixes, "--reason", "WRONG_TYPE", "--yes")
    assert "replayed as p0@3 (attempt 1)" in call("show", "p0@0").stdout


def test_dry_run_then_replay_then_again(call: Call, broker: Broker, letters: Intake, fixes: str) -> None:
    only = ("fix-and-replay", "--fixes", fixes, "--reason", "WRONG_TYPE")
    dry = call(*only)
    assert dry.exit_code == 0
    assert "+7 u1, t1" in dry.stdout
    assert "Nothing was sent: a dry run. Add --yes to replay." in dry.stderr
    assert len(broker.topics[RAW]) == 3
    done = call(*only, "--yes")
    assert done.exit_code == 0
    assert "Replayed 1 events." in done.stderr
    assert "p0@3" in done.stdout
    again = call(*only, "--yes")
    assert (again.exit_code, "REPLAYED=1" in again.stderr) == (0, True)
    letters.run()
    assert [one["event_id"] for one in broker.values(ENRICHED)] == ["e1"]


def test_letters_that_stay_dead_give_exit_code_1(call: Call, letters: Intake, fixes: str) -> None:
    done = call("fix-and-replay", "--fixes", fixes, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["counts"] == {"enriched": 1, "refused": 2}
    assert found["boards"] == {"scores": 1, "players": {"u1": 7}, "teams": {"t1": 7}}
    assert found["dry_run"] is True
    assert found["letters"][0]["moves"] == {"player": "u1", "team": "t1", "points": 7}


def test_one_letter_by_its_position(call: Call, letters: Intake) -> None:
    found = json.loads(call("fix-and-replay", "--position", "p0@1", "--json").stdout)
    assert [one["position"] for one in found["letters"]] == ["p0@1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--reason", "WRONG"), "'WRONG' is no reason; the reasons are NOT_UTF8"),
        (("list", "--since", "yesterday"), "write 2h, 1d or 2026-01-31T12:00:00Z"),
        (("list", "--since", "2026-01-31T12:00:00"), "has no zone"),
        (("list", "--since", "1960-01-01T00:00:00Z"), "before 1970"),
        (("list", "--since", "1h", "--until", "2h"), "--since is not before --until"),
        (("show", "p0@99"), "take a position from `gamestream dlq list`"),
        (("show", "nobody"), "There is no dead letter of the event 'nobody'"),
        (("fix-and-replay", "--position", "17"), "is no position"),
        (("fix-and-replay", "--fixes", "/nowhere/f.yaml"), "give the path of a YAML file"),
        (("fix-and-replay", "--fixes", "/tmp"), "give the path of a YAML file"),
    ],
)
def test_bad_options_end_in_a_sentence(call: Call, letters: Intake, arguments: tuple[str, ...], said: str) -> None:
    done = call(*arguments)
    assert isinstance(done.exception, CouldNotRun)
    assert said in str(done.exception)

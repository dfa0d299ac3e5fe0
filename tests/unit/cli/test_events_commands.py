"""`gamestream simulate` and `gamestream replay`: exit codes, the last line, and data apart from talk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gamestream_dagster.cli import events as module
from gamestream_dagster.cli import progress
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.clients.ingest_api import BatchReply, EventVerdict
from gamestream_dagster.events import feed, transactions
from tests.support.kept_records import KeptRecords

GOOD = b'{"user_id":"u","team_id":"t","team_name":"n","score":1,"event_time_millis":1}\n'


class Sink(KeptRecords):
    last: Sink

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__()
        self.topic = topic
        Sink.last = self

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()


@pytest.fixture
def call(monkeypatch, tmp_path):
    monkeypatch.setattr(feed, "ScoreProducer", Sink)
    app = typer.Typer()
    module.register(app)

    def run(*arguments: str):
        return CliRunner().invoke(app, [*arguments, "--home", str(tmp_path / "home")])

    return run


def test_replay_of_good_lines(call, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD * 3)
    result = call("replay", str(path))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "Done. SENT=3 BAD=0" in result.stderr
    assert Sink.last.topic == "user-score"


def test_replay_with_bad_lines_exits_1_and_shows_them(call, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"{\n" * 50)
    result = call("replay", str(path), "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["sent"], data["bad"], data["reasons"]) == (1, 50, {"NOT_JSON": 50})
    assert Path(data["rejects"]).read_text().count("\n") == 50
    assert "line 2: NOT_JSON: " in result.stderr
    assert "SENT=1 BAD=50  NOT_JSON=50" in result.stderr
    assert result.stderr.count("line ") == progress.MAX_SHOWN


def test_the_sample_by_its_name(call):
    result = call("replay", "nba")
    assert result.exit_code == 0
    assert "SENT=13874 BAD=0" in result.stderr


def test_simulate(call, tmp_path):
    result = call("simulate", "--events", "500", "--rate", "1000", "--bad", "10", "--as-fast-as-possible", "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["sent"] == len(Sink.last.records) == 500
    assert data["bad"] > 0
    assert Path(data["truth"]).is_file()
    assert Path(data["truth"]).is_relative_to(tmp_path / "home")
    assert "Done. SENT=500 NORMAL=" in result.stderr


def test_the_same_seed_and_start_give_the_same_records(call):
    arguments = ("simulate", "--events", "200", "--start", "2026-01-31T12:00:00", "--no-truth", "--as-fast-as-possible")
    assert call(*arguments).exit_code == 0
    first = Sink.last.records
    assert call(*arguments).exit_code == 0
    assert Sink.last.records == first
    assert b'"readable_time":"2026-01-31 12:00:0' in (first[0][1] or b"")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate", "--late", "80", "--dup", "30"), "over 100 per cent"),
        (("simulate", "--rate", "0"), "--rate"),
        (("simulate", "--players", "300000"), "--players"),
        (("simulate", "--start", "yesterday"), "not a time"),
        (("simulate", "--start", "1960-01-01"), "before 1970"),
        (("simulate", "--truth", "x", "--no-truth"), "exclude each other"),
        (("replay", "nba", "--speed", "2", "--as-fast-as-possible"), "exclude each other"),
        (("replay", "none.csv"), "no file"),
    ],
)
def test_what_cannot_run_says_why(call, arguments, said):
    result = call(*arguments)
    assert isinstance(result.exception, CouldNotRun)
    assert said in str(result.exception)


def test_replay_tells_its_totals_and_long_waits(call, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\n{\n" + GOOD.replace(b":1}", b":99999999}"))
    result = call("replay", str(path), "--speed", "1", "--max-wait", "0")
    assert "SENT=2 BAD=1  NOT_JSON=1 BLANK=1  LINES=4" in result.stderr
    assert "line 4: waiting 0 s in place of 27.8 hours by its event time" in result.stderr


def test_replay_renames_columns(call, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("player,team_id,team_name,score,event_time_millis\np,t,n,1,1\n")
    assert call("replay", str(path), "--map", "player=user_id").exit_code == 0
    assert Sink.last.records[0][0] == b"p"
    assert "--map COLUMN=user_id" in str(call("replay", str(path)).exception)


def test_names_that_look_like_markup_are_told_as_they_are(call, tmp_path):
    path = tmp_path / "[" / "b].csv"
    path.parent.mkdir()
    path.write_text("[/team],[bold]x\n")
    message = str(call("replay", str(path)).exception)
    assert f"{path} lacks the columns" in message
    assert "it has [/team], [bold]x." in message


def test_simulated_transactions_and_what_must_pass(call, tmp_path, monkeypatch):
    monkeypatch.setattr(transactions, "ScoreProducer", Sink)
    result = call("simulate", "transactions", "--events", "300", "--as-fast-as-possible", "--json")
    assert result.exit_code == 0
    data = json.loads(result.stdout)
    assert Sink.last.topic == "transactions-raw"
    assert data["sent"] == 300 == data["normal"] + data["dup"] + data["conflict"] + data["bad"]
    passed = [json.loads(line) for line in Path(data["truth"]).read_text().splitlines()]
    assert len(passed) == data["unique"] == len({one["transaction_id"] for one in passed})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("simulate", "--rate", "5", "transactions"), "simulate transactions --rate"),
        (("simulate", "transactions", "--dup", "80", "--conflict", "30"), "over 100 per cent"),
        (("simulate", "transactions", "--start", "yesterday"), "not a time"),
    ],
)
def test_options_of_transactions_that_cannot_be_used(call, arguments, named):
    result = call(*arguments)
    assert isinstance(result.exception, CouldNotRun)
    assert named in str(result.exception)


class Door:
    """The HTTP API as the client sees it: refuses what has no player."""

    last: Door

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self.events: list[bytes] = []
        Door.last = self

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, events: Sequence[bytes]) -> BatchReply:
        self.events += events
        return BatchReply(tuple(self.verdict(event) for event in events))

    def verdict(self, event: bytes) -> EventVerdict:
        if b'"user_id":null' in event:
            return EventVerdict("refused", "MISSING_FIELD", "user_id is missing")
        return EventVerdict("accepted", "LATE" if b"late" in event else None, None, 0, len(self.events))


@pytest.fixture
def door(monkeypatch):
    monkeypatch.setattr(feed, "IngestApi", Door)
    monkeypatch.setattr("gamestream_dagster.cli.keys.key_for_now", lambda settings, app: nullcontext(f"key of {app}"))


OVER_HTTP = ("simulate", "--via", "http", "--events", "600", "--as-fast-as-possible")


@pytest.mark.usefixtures("door")
def test_simulate_over_http_with_a_key_of_its_own(call, tmp_path):
    result = call(*OVER_HTTP, "--bad", "50", "--batch", "100", "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["sent"] == len(Door.last.events) == data["accepted"] + data["refused"] == 600
    assert data["reasons"] == {"MISSING_FIELD": data["refused"]}
    assert Path(data["truth"]).is_relative_to(tmp_path / "home")
    assert f"refused:  MISSING_FIELD={data['refused']}" in result.stderr
    assert (Door.last.url, Door.last.key) == ("http://127.0.0.1:8000", "key of simulator")


@pytest.mark.usefixtures("door")
def test_simulate_over_http_to_another_api(call, monkeypatch):
    monkeypatch.setenv("GAMESTREAM_INGEST_KEY", "gsk_given")
    result = call(*OVER_HTTP, "--url", "http://other:1", "--no-truth")
    assert result.exit_code == 0, result.stderr
    assert (Door.last.url, Door.last.key) == ("http://other:1", "gsk_given")
    assert "gsk_given" not in result.output


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(
    ("more", "said"),
    [(("--topic", "user-score"), "--topic is for --via kafka"), (("--url", "http://other:1"), "GAMESTREAM_INGEST_KEY")],
)
def test_what_does_not_go_with_http(call, more, said):
    result = call(*OVER_HTTP, *more)
    assert isinstance(result.exception, CouldNotRun)
    assert said in str(result.exception)

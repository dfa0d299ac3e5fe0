"""The commands' words and exit codes; the stack behind them is made up."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from gamestream_dagster.cli import platform
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.platform import doctor, layout
from gamestream_dagster.platform import stack as stack_module
from gamestream_dagster.platform.doctor import Check, CheckState
from gamestream_dagster.platform.errors import PortTakenError
from gamestream_dagster.platform.service import ServiceState, ServiceStatus
from gamestream_dagster.settings import Settings


class FakeStack:
    rows: list[ServiceStatus] = []  # noqa: RUF012 (each test sets its own)
    started: list[str] | Exception = []  # noqa: RUF012
    purged: list[bool] = []  # noqa: RUF012

    def __init__(self, settings, progress=None):
        self.progress = progress

    def up(self, only):
        if isinstance(FakeStack.started, Exception):
            raise FakeStack.started
        for name in FakeStack.started:
            self.progress(name, "healthy", "a link")
        return FakeStack.started

    def down(self, purge):
        FakeStack.purged.append(purge)
        return ["kafka"]

    def status(self, only=None):
        return [row for row in FakeStack.rows if only is None or row.name in only]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(stack_module, "Stack", FakeStack)
    monkeypatch.setattr(FakeStack, "purged", [])
    app = typer.Typer()
    platform.register(app)
    runner = CliRunner()
    return lambda *arguments, **more: runner.invoke(
        app, [arguments[0], "--home", str(tmp_path), *arguments[1:]], **more
    )


def test_up_says_what_it_started(run, monkeypatch):
    monkeypatch.setattr(FakeStack, "started", ["kafka", "postgres"])
    result = run("up")
    assert result.exit_code == 0
    assert "Started 2 services" in result.stderr
    assert result.stdout == ""


def test_a_second_up_says_so(run, monkeypatch):
    monkeypatch.setattr(FakeStack, "started", [])
    result = run("up")
    assert (result.exit_code, "Already running" in result.stderr) == (0, True)


def test_a_platform_error_becomes_a_could_not_run(run, monkeypatch):
    monkeypatch.setattr(FakeStack, "started", PortTakenError("Port 1 is taken."))
    result = run("up")
    assert isinstance(result.exception, CouldNotRun)
    assert str(result.exception) == "Port 1 is taken."


@pytest.mark.parametrize(("answer", "purged"), [("n\n", []), ("y\n", [True])])
def test_purge_asks_first(run, answer, purged):
    run("down", "--purge", input=answer)
    assert FakeStack.purged == purged


def test_purge_with_yes_does_not_ask(run):
    assert run("down", "--purge", "--yes").exit_code == 0
    assert FakeStack.purged == [True]


@pytest.mark.parametrize(
    ("state", "code"), [("HEALTHY", 0), ("STOPPED", 0), ("EXTERNAL", 0), ("FAILED", 1), ("UNREACHABLE", 1)]
)
def test_status_shows_each_service_and_fails_when_one_is_not_well(run, monkeypatch, state, code):
    row = ServiceStatus("kafka", ServiceState(state), 7, 9092, 300 * 2**20, 3700.0, "127.0.0.1:9092", "")
    monkeypatch.setattr(FakeStack, "rows", [row])
    result = run("status")
    assert result.exit_code == code
    assert result.stdout.splitlines()[0].split()[:2] == ["SERVICE", "STATUS"]
    assert f"kafka    {state}" in result.stdout
    assert "300 MiB  1 h 1 min" in result.stdout
    as_json = json.loads(run("status", "--json").stdout)
    assert (as_json[0]["state"], as_json[0]["resident_bytes"]) == (state, 300 * 2**20)


@pytest.mark.parametrize(("state", "code"), [(CheckState.OK, 0), (CheckState.WARN, 0), (CheckState.FAIL, 1)])
def test_doctor_fails_when_a_check_does(run, monkeypatch, state, code):
    monkeypatch.setattr(doctor, "examine", lambda _: [Check("disk", state, "words")])
    result = run("doctor")
    assert result.exit_code == code
    assert f"disk   {state}" in result.stdout
    assert "postgres_password" in result.stdout
    assert json.loads(run("doctor", "--json").stdout)["checks"][0]["state"] == state


def test_logs_show_the_end(run, tmp_path):
    settings = Settings(home=tmp_path)
    layout.make_home(settings)
    layout.log_file(settings, "kafka").write_text("one\ntwo\nthree\n")
    assert run("logs", "kafka", "--lines", "2").stdout == "two\nthree\n"


def test_logs_of_an_unknown_service_name_the_known(run):
    result = run("logs", "kafak")
    assert isinstance(result.exception, CouldNotRun)
    assert "choose from kafka, registry" in str(result.exception)


def test_logs_before_the_first_start_say_so(run):
    assert "start it with `gamestream up`" in str(run("logs", "kafka").exception)


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (5.4, "5 s"), (65, "1 min 5 s"), (7200, "2 h 0 min")])
def test_durations(seconds, text):
    assert platform._duration(seconds) == text


def _service(name, state):
    return ServiceStatus(name, ServiceState(state), 7, 9092, None, None, "127.0.0.1:9092", "")


def test_status_waits_until_what_was_started_is_healthy(run, monkeypatch):
    kafka = _service("kafka", "HEALTHY")
    stopped = _service("dagster", "STOPPED")
    looks = iter(
        [
            [_service("kafka", "STARTING")],
            [kafka, _service("flink", "STARTING")],
            [kafka, _service("flink", "HEALTHY"), stopped],
        ]
    )
    monkeypatch.setattr(platform, "WAIT_POLL_SECONDS", 0)
    monkeypatch.setattr(platform, "_rows", lambda _: next(looks))
    result = run("status", "--wait")
    assert result.exit_code == 0
    assert "flink" in result.stdout
    assert next(looks, None) is None


@pytest.mark.parametrize(
    ("rows", "told"), [([_service("kafka", "STARTING")], "STARTING"), ([_service("kafka", "STOPPED")], "gamestream up")]
)
def test_status_that_waits_ends_with_its_time(run, monkeypatch, rows, told):
    monkeypatch.setattr(platform, "_rows", lambda _: rows)
    result = run("status", "--wait", "--timeout", "0")
    assert result.exit_code == 1
    assert told in result.stdout + result.stderr


def test_a_second_daemon_is_told_with_the_status(run, monkeypatch):
    monkeypatch.setattr(FakeStack, "rows", [_service("kafka", "HEALTHY")])
    monkeypatch.setattr(platform, "second_daemon_told", lambda _: "another Dagster daemon works on this stack: pid 7")
    result = run("status")
    assert result.exit_code == 0
    assert "Mind: another Dagster daemon works on this stack: pid 7" in result.stderr


def test_psql_without_a_server_is_one_sentence(run):
    result = run("psql", "--port-base", "64000", "-c", "SELECT 1")
    assert isinstance(result.exception, CouldNotRun)
    assert "no connection to 127.0.0.1:64005" in str(result.exception)
    assert "gamestream up" in str(result.exception)

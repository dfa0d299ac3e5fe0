"""The supervisor's configuration, its leftovers and the launcher; no server."""

from __future__ import annotations

import configparser
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gamestream_dagster.platform import catalogue, launch, layout
from gamestream_dagster.platform.errors import SupervisorError
from gamestream_dagster.platform.service import Program
from gamestream_dagster.platform.supervisor import MARK, Supervisor, end_processes
from gamestream_dagster.settings import Settings


@pytest.fixture
def settings(tmp_path):
    made = Settings(home=tmp_path / "home 100%")
    layout.make_home(made)
    return made


def sleeper(settings, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"],
        env={**os.environ, MARK: str(settings.home), **environment},
        stdout=subprocess.PIPE,
    )


def test_the_configuration_keeps_odd_paths_and_holds_no_secret(settings):
    text = Supervisor(settings)._configuration(catalogue.services().values())
    parsed = configparser.RawConfigParser()
    parsed.read_string(text)
    assert parsed["unix_http_server"]["chmod"] == "0700"
    assert parsed["program:kafka"]["autorestart"] == "true"
    assert "home 100%%/run/programs/kafka.json" in parsed["program:kafka"]["command"]
    assert parsed["program:postgres"]["stopsignal"] == "INT"
    assert "environment" not in parsed["program:dagster-code"]


def test_a_path_that_cannot_be_quoted_is_refused(tmp_path):
    bad = Settings(home=tmp_path / 'a"b')
    with pytest.raises(SupervisorError, match="choose another --home"):
        Supervisor(bad)._configuration(catalogue.services().values())


def test_a_description_is_private_and_complete(settings):
    Supervisor(settings).describe("kafka", Program(command=("java",), environment={"A": "1"}, directory=Path("/")))
    path = layout.program_file(settings, "kafka")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    described = json.loads(path.read_text())
    assert described["environment"] == {MARK: str(settings.home), "A": "1"}
    assert layout.started_at(settings, "kafka") > 0


def test_the_launcher_becomes_the_described_program(settings):
    code = "import os; print(os.environ['A'], os.getcwd())"
    program = Program(command=(sys.executable, "-c", code), environment={"A": 'it\'s "1" %'}, directory=settings.home)
    Supervisor(settings).describe("kafka", program)
    path = layout.program_file(settings, "kafka")
    done = subprocess.run([sys.executable, "-I", launch.__file__, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f'it\'s "1" % {settings.home}'


def test_no_socket_means_not_running(settings):
    assert not Supervisor(settings).running()


def test_a_dead_socket_means_not_running_and_is_cleared_away(settings):
    path = layout.supervisor_socket(settings)
    path.touch()
    (layout.run_dir(settings) / "supervisor.pid").write_text("1")  # a pid that lives, of something else
    supervisor = Supervisor(settings)
    assert not supervisor.running()
    assert supervisor.clear_leftovers() == []
    assert not path.exists()
    assert psutil.pid_exists(1)


def test_processes_without_a_supervisor_are_ended_and_others_are_not(settings, tmp_path):
    ours, theirs = sleeper(settings), sleeper(Settings(home=tmp_path / "other"))
    try:
        for each in (ours, theirs):
            assert each.stdout.readline() == b"ready\n"
        assert Supervisor(settings).clear_leftovers() == [ours.pid]
        assert not psutil.pid_exists(ours.pid)
        assert theirs.poll() is None
    finally:
        for each in (ours, theirs):
            each.kill()
            each.wait()


def test_a_process_that_ignores_a_request_is_killed():
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    stubborn = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert stubborn.stdout.readline() == b"ready\n"
    end_processes([psutil.Process(stubborn.pid)], patience=0.2)
    assert not psutil.pid_exists(stubborn.pid)
    stubborn.wait(5)

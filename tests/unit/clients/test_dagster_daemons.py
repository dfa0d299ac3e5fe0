"""Which processes tick for a stack, and when one of them is too many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gamestream_dagster.clients import dagster_daemons
from gamestream_dagster.clients.dagster_daemons import Daemon, _is_daemon, daemons_of, second_daemon_told
from gamestream_dagster.settings import Settings

OWN, OTHER, THIRD = Daemon(1, "daemon", True), Daemon(2, "daemon of dg dev", False), Daemon(3, "x", False)


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (["/venv/bin/python", "-m", "dagster._daemon", "run", "-w", "w.yaml"], True),
        (["/venv/bin/python", "/venv/bin/dagster-daemon", "run"], True),
        (["/venv/bin/python", "-m", "dagster", "dev"], False),
        (["vim", "dagster-daemon"], False),
        (["grep", "run", "dagster-daemon"], False),
    ],
)
def test_only_the_process_that_ticks_is_a_daemon(command: list[str], found: bool) -> None:
    assert _is_daemon(command) is found


@pytest.mark.parametrize(
    ("daemons", "named"), [([], []), ([OWN], []), ([OTHER], []), ([OWN, OTHER], [2]), ([OTHER, THIRD], [2, 3])]
)
def test_the_second_is_named(
    daemons: list[Daemon], named: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dagster_daemons, "daemons_of", lambda _: daemons)
    told = second_daemon_told(Settings(home=tmp_path))
    assert bool(told) is bool(named)
    assert all(f"pid {pid} " in told for pid in named)


def test_a_process_is_found_by_its_home(tmp_path: Path) -> None:
    program = "import sys, time; print('up', flush=True); time.sleep(60)"
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "dagster-daemon").write_text(program, encoding="utf-8")
    for given in ("home", str(home)):  # relative to the folder that the process runs in, and absolute
        with subprocess.Popen(
            [sys.executable, str(tmp_path / "dagster-daemon"), "run"],
            cwd=tmp_path,
            env={**os.environ, "GAMESTREAM_HOME": given},
            stdout=subprocess.PIPE,
        ) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                assert [daemon.pid for daemon in daemons_of(Settings(home=home))] == [process.pid]
                assert daemons_of(Settings(home=tmp_path / "other")) == []
            finally:
                process.kill()

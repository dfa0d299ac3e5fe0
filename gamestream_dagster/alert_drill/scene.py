"""The stack of an alert drill, and what is done to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from gamestream_dagster.alert_drill.events import Events
from gamestream_dagster.alert_drill.inbox import Inbox
from gamestream_dagster.alert_drill.jobs import BOARDS
from gamestream_dagster.alert_drill.model import Command
from gamestream_dagster.clients.dagster_graphql import DagsterGraphQL
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.observed import JobState
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.platform import catalogue
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.settings import Settings

LIMIT_SECONDS: Final = 180.0
_COMMAND_SECONDS: Final = 240.0
_RUN_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.5
_LEAST_ROWS: Final = 10


@dataclass(frozen=True)
class Scene:
    """One stack, the inbox of its alerts, and the jobs that the drill deployed."""

    settings: Settings
    inbox: Inbox
    events: Events
    say: Callable[[str], None]
    jobs: list[str] = field(default_factory=list[str])

    @property
    def supervisor(self) -> Supervisor:
        """Of the stack's servers."""
        return Supervisor(self.settings)

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """One transaction, committed at the end."""
        with open_engine(self.settings) as engine, engine.begin() as link:
            yield link

    def execute(self, statement: str) -> None:
        """One statement in a transaction of its own."""
        with self.database() as link:
            link.execute(sa.text(statement))

    def has_rows(self, table: str, least: int = 1) -> bool:
        """Whether a table has so many rows."""
        with self.database() as link:
            return (link.scalar(sa.select(sa.func.count()).select_from(sa.table(table))) or 0) >= least

    def up(self, servers: Sequence[str]) -> None:
        """Start servers that do not run yet.

        Raises:
            PlatformError: one does not start.
        """
        if started := Stack(self.settings).up(servers) if servers else []:
            self.say(f"started {', '.join(started)}")

    def deploy(self, names: Iterable[str]) -> None:
        """Deploy jobs that the drill has not deployed yet, and wait until all of these run.

        Raises:
            DrillError, FlinkJobError, ServiceError: one does not run.
        """
        for name in names:
            if name not in self.jobs:
                self.say(f"deploy {name}")
                if jobs.apply_job(self.settings, name).state is DeploymentState.SUSPENDED:  # by an earlier drill
                    jobs.resume_job(self.settings, name)
                self.jobs.append(name)
            self.wait_running(name)

    def command(self, *words: str) -> Command:
        """Run `gamestream` on the stack. A traceback is never an answer: its exit code is reported as -1."""
        program = Path(sys.executable).with_name("gamestream")
        began = time.monotonic()
        try:
            done = subprocess.run(
                [str(program), *words, "--home", str(self.settings.home)],
                capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Command(" ".join(words), -1, f"no end within {_COMMAND_SECONDS:.0f} s", _COMMAND_SECONDS)
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        crashed = "Traceback (most recent call last)" in done.stderr
        code = -1 if crashed else done.returncode
        return Command(" ".join(words), code, lines[-1] if lines else "", time.monotonic() - began)

    def prove(self) -> None:
        """Prove the boards.

        Raises:
            DrillError: the proof could not run.
        """
        ended = self.command("reconcile")
        if not ended.answered:
            raise DrillError(f"the boards could not be proven ({ended.last_line}); see `gamestream jobs list`")

    def launch(self, job: str, *, succeeds: bool = True) -> None:
        """Run a job in Dagster to its end.

        Raises:
            DrillError: it did not end as expected.
            ServiceError: Dagster does not answer, or it does not end within five minutes.
        """
        with DagsterGraphQL(self.settings.dagster_url) as dagster:
            ended = dagster.wait(dagster.launch(job), _RUN_SECONDS)
        if ended.succeeded is not succeeds:
            why = "; ".join(one.reason for one in ended.failures) or "without a reason"
            raise DrillError(f"the Dagster job {job} ended with {ended.status.value} ({why}); see its run in Dagster")

    def signal(self, service: str, number: signal.Signals) -> None:
        """Send a signal to a server's process."""
        os.kill(self._pid(service), number)

    @contextmanager
    def slowed(self, service: str, *, suspended: float, running: float) -> Iterator[None]:
        """A server's process is suspended and continued in turn while the body runs; both in seconds."""
        self._pid(service)
        ended = threading.Event()

        def stutter() -> None:
            while not ended.is_set():
                with suppress(DrillError, OSError):  # a server that is just restarted has no process to suspend
                    self.signal(service, signal.SIGSTOP)
                    ended.wait(suspended)
                    self.signal(service, signal.SIGCONT)
                ended.wait(running)

        thread = threading.Thread(target=stutter, name=f"drill-{service}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def kill(self, service: str) -> None:
        """End a server as a crash does, and wait until the supervisor has another process."""
        old = self._pid(service)
        os.kill(old, signal.SIGKILL)
        self.wait_for(f"{service} is started again", lambda: self._state(service).get("pid") not in (0, None, old))

    def wait_service(self, service: str) -> None:
        """Wait until a server answers."""
        probe = catalogue.services()[service].probe
        self.wait_for(f"{service} answers", lambda: probe(self.settings) is None)

    def wait_running(self, job: str) -> None:
        """Wait until all tasks of a job run."""
        self.wait_for(f"{job} runs", lambda: jobs.observe_job(self.settings, job).state is JobState.RUNNING)

    def running_jobs(self) -> list[str]:
        """Every job that runs, whoever deployed it."""
        return [name for name in load_jobs() if jobs.observe_job(self.settings, name).state is JobState.RUNNING]

    def wait_read(self) -> None:
        """Wait until the boards' jobs have read everything, and the ranks have rows.

        A job that was restored reports its lag with the first record that it reads, so some are sent.
        """
        self.events.scores(100)
        for job in BOARDS:
            self.wait_for(f"{job} has read its topic", lambda job=job: self._lag(job) == 0)
        self.wait_for("top_players has rows", lambda: self.has_rows("top_players", _LEAST_ROWS))

    def wait_for(self, what: str, holds: Callable[[], bool]) -> None:
        """Poll until something holds.

        Raises:
            DrillError: not within three minutes.
        """
        deadline = time.monotonic() + LIMIT_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise DrillError(f"{what}: not within {LIMIT_SECONDS:.0f} s; see `gamestream status`")
            time.sleep(_POLL_SECONDS)

    def put_back(self, aside: Path) -> None:
        """Move the states of jobs back into the folder of checkpoints, beside what came into it meanwhile."""
        folder = self.settings.checkpoints_dir
        folder.mkdir(parents=True, exist_ok=True)
        for one in aside.iterdir():
            if not (folder / one.name).exists():
                one.rename(folder / one.name)
        shutil.rmtree(aside)

    def _lag(self, job: str) -> int | None:
        figures = jobs.observe_job(self.settings, job).figures
        return figures.lag_records if figures else None

    def _pid(self, service: str) -> int:
        pid = self._state(service).get("pid")
        if not pid:
            raise DrillError(f"{service} does not run; see `gamestream status`")
        return int(pid)

    def _state(self, service: str) -> dict[str, Any]:
        return self.supervisor.states().get(service, {})

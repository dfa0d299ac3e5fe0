"""The stack of a drill of the alerts, and what is done to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from gamestream_dagster.alert_drill.events import Events
from gamestream_dagster.alert_drill.inbox import Inbox
from gamestream_dagster.alert_drill.model import Command
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.record.observed import JobState
from gamestream_dagster.platform import catalogue
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.settings import Settings

DAYS_OF: Final = ("active_users", "purchases_daily", "economy_daily")
LIMIT_SECONDS: Final = 180.0
_COMMAND_SECONDS: Final = 240.0
_POLL_SECONDS: Final = 0.5
_LEAST_ROWS: Final = 10


@dataclass(frozen=True)
class Scene:
    """One stack, its webhook, and the jobs that the drill deployed."""

    settings: Settings
    inbox: Inbox
    events: Events
    jobs: Sequence[str]
    say: Callable[[str], None]

    @property
    def supervisor(self) -> Supervisor:
        """Of the stack's servers."""
        return Supervisor(self.settings)

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """One transaction, committed at the end."""
        with open_engine(self.settings) as engine, engine.begin() as link:
            yield link

    def steady_scores(self) -> AbstractContextManager[None]:
        """Some scores every half second."""
        return self.events.steady_scores()

    def command(self, *words: str) -> Command:
        """Run `gamestream` on the stack."""
        program = Path(sys.executable).with_name("gamestream")
        try:
            done = subprocess.run(
                [str(program), *words, "--home", str(self.settings.home)],
                capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Command(" ".join(words), 2, f"it did not end within {_COMMAND_SECONDS:.0f} s")
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return Command(" ".join(words), done.returncode, said[-1] if said else "")

    def prove(self) -> None:
        """Prove the boards.

        Raises:
            DrillError: the proof could not run.
        """
        ended = self.command("reconcile")
        if not ended.worked:
            raise DrillError(f"the boards could not be proven ({ended.last_words}); see `gamestream jobs list`")

    def signal(self, service: str, number: signal.Signals) -> None:
        """Send a signal to a server's process."""
        os.kill(self._pid(service), number)

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

    def wait_read(self) -> None:
        """Wait until the boards' jobs have read everything, and the ranks have rows."""
        for job in self.jobs:
            self.wait_for(f"{job} has read its topic", lambda job=job: self._lag(job) == 0)

        def has_rows() -> bool:
            with self.database() as link:
                return (link.scalar(sa.text("SELECT count(*) FROM top_players")) or 0) >= _LEAST_ROWS

        self.wait_for("top_players has rows", has_rows)

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

    def insert(self, link: Connection, table: str, values: dict[str, Any]) -> None:
        """Add a row to the table of a metric."""
        columns = [sa.column(name) for name in values]
        link.execute(sa.table(table, *columns).insert().values(values))

    def forget_days(self, days: Sequence[date]) -> None:
        """Delete rows of the metrics that the drill writes."""
        with self.database() as link:
            for name in DAYS_OF:
                table = sa.table(name, sa.column("date"))
                link.execute(table.delete().where(table.c.date.in_(days)))

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

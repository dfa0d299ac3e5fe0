"""Where a drill takes place: the servers that it may kill, the crowd, the job manager at work, its own eyes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gamestream_dagster.catalogue.sources import Source, score_source
from gamestream_dagster.drill.crowd import PausableCrowd
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.watcher import Watcher
from gamestream_dagster.drill.witness import Witness
from gamestream_dagster.platform import catalogue
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.settings import Settings

SERVERS = ("kafka", "registry", "postgres", "flink")
"""What a drill needs of the platform."""
SERVICE_SECONDS = 90.0
_POLL_SECONDS = 0.2

Say = Callable[[str], None]


@dataclass
class Site:
    """Everything that a scenario works with."""

    settings: Settings
    jobs: Sequence[str]
    crowd: PausableCrowd
    watcher: Watcher
    witness: Witness
    say: Say
    records_before: int = 0
    """Events of the topic that the crowd did not send."""

    @property
    def source(self) -> Source:
        """The stream that the crowd plays into."""
        return score_source(self.settings)

    def pid(self, service: str) -> int:
        """The process of a server.

        Raises:
            DrillError: it has none.
        """
        pid = Supervisor(self.settings).states().get(service, {}).get("pid")
        if not pid:
            raise DrillError(f"{service} does not run; see `gamestream status`")
        return int(pid)

    def kill(self, service: str) -> int:
        """End a server as a crash does, without a word to it; the pid that it had."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGKILL)
        self.say(f"killed {service} (pid {pid})")
        return pid

    def send_signal(self, service: str, number: signal.Signals) -> None:
        """Stop a server's process in its tracks (SIGSTOP), or let it go on (SIGCONT)."""
        os.kill(self.pid(service), number)

    def wait_service(self, service: str, old_pid: int, limit: float = SERVICE_SECONDS) -> float:
        """Wait until the supervisor has brought a killed server back and it answers; epoch seconds of that moment.

        Raises:
            DrillError: not within the limit.
        """
        described, supervisor = catalogue.services()[service], Supervisor(self.settings)
        deadline, why = time.monotonic() + limit, "it has no new process"
        while time.monotonic() < deadline:
            pid = supervisor.states()[service]["pid"]
            if pid and pid != old_pid:
                why = described.probe(self.settings) or ""
                if not why:
                    return time.time()
            time.sleep(_POLL_SECONDS)
        raise DrillError(f"{service} was not back within {limit:.0f} s ({why}); see `gamestream logs {service}`")

"""The job manager during a drill: observes the jobs like the health sensor and heals like its runs.

Observation, plans and steps are those of `flink_jobs`; this module adds only what Dagster adds: the interval, the
choice HEAL, retries, and the pause before the next run for the same deployment.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gamestream_dagster.clients.errors import ServiceError, TransientServiceError
from gamestream_dagster.flink_jobs.control.applying import apply
from gamestream_dagster.flink_jobs.control.looking import look_and_plan
from gamestream_dagster.flink_jobs.control.workbench import Workbench, workbench
from gamestream_dagster.flink_jobs.errors import FlinkJobError, ParkedError, TransientFlinkJobError
from gamestream_dagster.flink_jobs.plan.model import Choice, Decision
from gamestream_dagster.flink_jobs.record.observed import Figures, Health, JobState, last_movement
from gamestream_dagster.settings import Settings

LOOK_SECONDS = 30.0
"""As the sensor's."""
RETRIES = (5.0, 10.0)
"""Pauses before a run retries a transient failure, as its retry policy."""
BACKOFF_SECONDS = 30.0
_KEPT_LOOKS = 1000
_STOP_SECONDS = 150.0
_WELL = (Health.HEALTHY, Health.STARTING)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Look:
    """One observation of one job. `at` is epoch seconds on the drill's own clock."""

    job: str
    at: float
    well: bool
    text: str
    incident_since: float | None = None
    """When the newest incident began, epoch seconds."""
    parked: str = ""


@dataclass
class _Attempts:
    """Runs for one deployment of a job."""

    deployment: str = ""
    count: int = 0
    ended: float = 0.0


class Watcher:
    """Observes the jobs every `every` seconds in its own thread; heals each job in another thread."""

    def __init__(self, settings: Settings, jobs: Sequence[str], every: float, say: Say) -> None:
        self._settings, self._jobs, self.every, self._say = settings, tuple(jobs), every, say
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drill-watcher", daemon=True)
        self._healing: dict[str, threading.Thread] = {}
        self._attempts = {job: _Attempts() for job in jobs}
        self._figures: dict[str, Figures] = {}
        self._shift = 0.0
        self.looks: deque[Look] = deque(maxlen=_KEPT_LOOKS)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in (self._thread, *self._healing.values()):
            thread.join(_STOP_SECONDS)

    @contextmanager
    def behind(self, seconds: float) -> Iterator[None]:
        """Shift its clock by this much."""
        self._shift = -seconds
        try:
            yield
        finally:
            self._shift = 0.0

    def idle(self) -> bool:
        """True while no job is being healed."""
        return not any(thread.is_alive() for thread in self._healing.values())

    def since(self, epoch: float, job: str) -> list[Look]:
        """The observations of a job from that moment on."""
        return [look for look in list(self.looks) if look.job == job and look.at >= epoch]

    def _clock(self) -> float:
        return time.time() + self._shift

    def _run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            for job in self._jobs:
                at = time.time()
                try:
                    look = self._look(job, at)
                except (ServiceError, FlinkJobError) as error:
                    look = Look(job, at, False, f"could not look: {error}")
                self.looks.append(look)
            self._ended.wait(max(0.0, self.every - (time.monotonic() - began)))

    @contextmanager
    def _bench(self, job: str) -> Iterator[Workbench]:
        with workbench(self._settings, job) as bench:
            yield replace(bench, clock=self._clock)

    def _look(self, job: str, at: float) -> Look:
        previous = self._figures.get(job)
        with self._bench(job) as bench:
            found = look_and_plan(bench, previous)
            observed, plan = found.observed, found.plan
            if observed.state is JobState.UNKNOWN:
                return Look(job, at, False, f"Flink does not answer ({observed.detail})")
            moved = last_movement(previous, observed.figures)
            if moved is not None:
                self._figures[job] = moved
            since = incident.opened_at.timestamp() if (incident := found.noted.incident) else None
            if found.record is None:
                return Look(job, at, False, "it was never deployed", since)
            if plan is None:
                text = f"{observed.state}, {observed.health}" + (f": {why}" if (why := observed.health_reason) else "")
                return Look(job, at, observed.health in _WELL, text, since)
            if plan.decision is Decision.PARK:
                return Look(job, at, False, f"{plan.decision}: {plan.reason}", since, parked=plan.reason)
            if plan.decision.heals:
                self._ask(job, found.record.deployment_id, previous)
            return Look(job, at, False, f"{plan.decision}: {plan.reason}", since)

    def _ask(self, job: str, deployment: str, previous: Figures | None) -> None:
        """Start a run, unless one is active or the last one has just failed."""
        if (running := self._healing.get(job)) and running.is_alive():
            return
        tried = self._attempts[job]
        if tried.deployment != deployment:
            tried = self._attempts[job] = _Attempts(deployment)
        elif tried.count and time.monotonic() - tried.ended < BACKOFF_SECONDS * 2 ** (tried.count - 1):
            return
        tried.count += 1
        thread = threading.Thread(target=self._heal, args=(job, previous, tried), name=f"heal-{job}", daemon=True)
        self._healing[job] = thread
        thread.start()

    def _heal(self, job: str, previous: Figures | None, tried: _Attempts) -> None:
        try:
            self._apply(job, previous)
        except ParkedError as error:
            self.looks.append(Look(job, time.time(), False, str(error), parked=str(error)))
        except (ServiceError, FlinkJobError) as error:
            self._say(f"{job}: {error}")
        finally:
            tried.ended = time.monotonic()

    def _apply(self, job: str, previous: Figures | None) -> None:
        for pause in (*RETRIES, None):
            try:
                with self._bench(job) as bench:
                    apply(bench, Choice.HEAL, self._say, previous)
            except (TransientServiceError, TransientFlinkJobError) as error:
                if pause is None or self._ended.wait(pause):
                    raise
                self._say(f"{job}: {error}; trying again")
            else:
                return

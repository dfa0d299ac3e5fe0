"""The faults: what each does, and the required outcome.

A fault is a context manager: it injects on entry and cleans up on exit. The platform's supervisor restarts killed
servers, as on any stack; Flink or the job manager restores the jobs.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.proofs import ask_at_once, fast_clock, kill_proof
from gamestream_dagster.drill.site import Site
from gamestream_dagster.drill.struck import Struck
from gamestream_dagster.drill.witness import Mark, checkpoint_number
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.errors import TransientFlinkJobError
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.incidents import Moment

CLOCK_BEHIND_SECONDS = 600.0
BLOCKED_CHECKPOINTS = 200
_TRIED_SECONDS = 100.0
_GATEWAY = "SQL gateway"
_POLL_SECONDS = 0.5


Strike = Callable[[Site, Mapping[str, Mark]], AbstractContextManager[Struck]]


@dataclass(frozen=True)
class Scenario:
    """One fault of the catalogue."""

    name: str
    title: str
    expects: str
    strike: Strike
    stops_jobs: bool = False
    """Every job must be restored; otherwise a job may also keep running through the fault."""
    limit_seconds: float = 180.0
    listed: bool = True
    """Excluded from a drill that names no scenarios."""


def _now() -> Struck:
    at = time.time()
    return Struck(at, at)


@contextmanager
def kill(service: str, site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """SIGKILL a server that runs the jobs or keeps their state."""
    at = time.time()
    site.kill(service)
    yield Struck(at, at, (f"{service} was killed",))


@contextmanager
def kill_and_wait(service: str, site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """SIGKILL a server that the jobs use; only checkpoints after its restart count."""
    at = time.time()
    pid = site.kill(service)
    back = site.wait_service(service, pid)
    yield Struck(at, back, (f"{service} answered again after {back - at:.1f} s",))


@contextmanager
def kill_gateway(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """SIGKILL the gateway while requesting a redeploy; request it again after the restart."""
    job, at = site.jobs[0], time.time()
    pid = site.kill("flink-gateway")
    broken: tuple[str, ...] = ()
    try:
        manager.apply_job(site.settings, job, Choice.REDEPLOY, site.say)
        note = "a redeploy asked for meanwhile went through"
    except (TransientServiceError, TransientFlinkJobError) as error:
        note = f"a redeploy asked for meanwhile was put off: {error}"
        mark = site.witness.try_marks().get(job)
        if mark is None or mark.flink_job_id != before[job].flink_job_id:
            broken = (f"{job} was stopped though the redeploy could not be done",)
    back = site.wait_service("flink-gateway", pid)
    if site.witness.try_marks()[job].flink_job_id == before[job].flink_job_id:
        manager.apply_job(site.settings, job, Choice.REDEPLOY, site.say)
    yield Struck(at, back, (f"the gateway answered again after {back - at:.1f} s", note), broken)


@contextmanager
def hang_gateway(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """SIGSTOP the gateway and kill the JobManager; resume the gateway once a healing attempt has failed."""
    site.send_signal("flink-gateway", signal.SIGSTOP)
    struck = _now()
    try:
        site.say("the gateway hangs")
        site.kill("flink-jobmanager")
        _wait_tried(site, struck.at)
    finally:
        site.send_signal("flink-gateway", signal.SIGCONT)
    site.say("the gateway goes on")
    waited = time.time() - struck.at
    yield Struck(struck.at, struck.at, (f"the gateway hung for {waited:.1f} s, until a try to heal had given up",))


def _wait_tried(site: Site, at: float) -> None:
    deadline = time.monotonic() + _TRIED_SECONDS
    while time.monotonic() < deadline:
        for job in site.jobs:
            newest = next(iter(manager.incidents(site.settings, job, 1)), None)
            tried = [entry for entry in (newest.timeline if newest else ()) if entry.moment is Moment.TRIED]
            if any(_GATEWAY in entry.text and entry.at.timestamp() > at for entry in tried):
                return
        time.sleep(_POLL_SECONDS)
    raise DrillError(f"no try to heal gave the gateway up within {_TRIED_SECONDS:.0f} s while the gateway hung")


@contextmanager
def corrupt(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """Kill the JobManager and truncate the newest checkpoint of each job before the restore."""
    struck = _now()
    site.kill("flink-jobmanager")
    spoilt: list[Path] = []
    for job in site.jobs:
        newest = site.witness.on_disk(before[job].flink_job_id)[-1]
        metadata = newest / "_metadata"
        content = metadata.read_bytes()
        metadata.write_bytes(content[: len(content) // 2])
        spoilt.append(newest)
        site.say(f"{job}: cut {newest.name} in half")
    names = ", ".join(path.name for path in spoilt)
    yield Struck(struck.at, struck.at, (f"{names} cut in half",), unreadable=frozenset(spoilt))


@contextmanager
def block_checkpoints(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """Block the folders of the next checkpoints with files: writing fails, reading works.

    Permissions do not stop servers that run as root; a file in place of a folder does.
    """
    struck, files = _now(), list[Path]()
    try:
        for job in site.jobs:
            folder = site.witness.checkpoints_dir / before[job].flink_job_id
            newest = before[job].newest
            first = (newest.checkpoint_id if newest else checkpoint_number(site.witness.on_disk(folder.name)[-1])) + 1
            for number in range(first, first + BLOCKED_CHECKPOINTS):
                path = folder / f"chk-{number}"
                if not path.exists():
                    path.touch()
                    files.append(path)
        site.say(f"a file stands in the place of each of the next {BLOCKED_CHECKPOINTS} checkpoints of each job")
        yield struck
    finally:
        for path in files:
            path.unlink(missing_ok=True)


@contextmanager
def clock_behind(site: Site, before: Mapping[str, Mark]) -> Iterator[Struck]:
    """Set the watcher's clock back by ten minutes and kill the JobManager."""
    with site.watcher.behind(CLOCK_BEHIND_SECONDS), kill("flink-jobmanager", site, before) as struck:
        yield struck


def kill_by_turns(number: int) -> Strike:
    """The TaskManager in odd repetitions, the JobManager in even ones."""
    return partial(kill, "flink-taskmanager" if number % 2 else "flink-jobmanager")


_GOES_ON = "The jobs go on, or fail and come back by themselves; no event is lost or counted twice."

CATALOGUE: tuple[Scenario, ...] = (
    Scenario(
        "taskmanager",
        "TaskManager killed",
        "Flink brings the jobs back from their newest checkpoints; the job manager sees it and keeps its hands off.",
        partial(kill, "flink-taskmanager"),
        stops_jobs=True,
    ),
    Scenario(
        "jobmanager",
        "JobManager killed",
        "The cluster has forgotten the jobs; the job manager submits each once, from its newest checkpoint on disk.",
        partial(kill, "flink-jobmanager"),
        stops_jobs=True,
    ),
    Scenario(
        "gateway",
        "SQL gateway killed",
        "The jobs go on. A redeploy asked for meanwhile is put off and changes nothing; asked for again, it goes.",
        kill_gateway,
    ),
    Scenario(
        "gateway-hangs",
        "SQL gateway hangs, JobManager killed",
        "The try to heal gives up within its limit; the next one submits each job once.",
        hang_gateway,
        stops_jobs=True,
        limit_seconds=240,
    ),
    Scenario("broker", "Kafka broker killed", _GOES_ON, partial(kill_and_wait, "kafka")),
    Scenario("postgres", "Postgres killed", _GOES_ON, partial(kill_and_wait, "postgres")),
    Scenario("registry", "Registry killed", "Nothing becomes of it.", partial(kill_and_wait, "registry")),
    Scenario(
        "corrupt",
        "Newest checkpoint corrupt, JobManager killed",
        "The jobs come back from the newest checkpoint that can be read, and the timeline says so.",
        corrupt,
        stops_jobs=True,
        limit_seconds=240,
    ),
    Scenario(
        "folder",
        "Checkpoint folder cannot be written",
        "The job manager sees that no checkpoint completes, stops each job with a savepoint and goes on from it.",
        block_checkpoints,
        stops_jobs=True,
        limit_seconds=240,
    ),
    Scenario(
        "clock",
        "Sensor's clock 10 minutes behind, JobManager killed",
        "As with a right clock.",
        clock_behind,
        stops_jobs=True,
    ),
    Scenario(
        "proof",
        "Proof killed while its jobs are stopped",
        "The job manager sees that the proof has ended, and goes on with each job from its savepoint.",
        kill_proof,
        stops_jobs=True,
    ),
    Scenario(
        "coordinator",
        "Broker killed, a new group asked for at once",
        "Whoever asks gets an answer or a sentence, and no process dies. The jobs go on.",
        ask_at_once,
    ),
    Scenario(
        "fast-producer",
        "A producer's clock 50 minutes ahead",
        "The broker stamps the records, so windows close by its clock: no board stands still and no event is lost.",
        fast_clock,
    ),
    Scenario(
        "kills",
        "Kills by turns",
        "TaskManager and JobManager are killed alternately; each time the jobs come back from the right checkpoint.",
        partial(kill, "flink-taskmanager"),
        stops_jobs=True,
        listed=False,
    ),
)


def choose(names: tuple[str, ...]) -> tuple[Scenario, ...]:
    """The named scenarios in the order of the catalogue; without names, all that are listed.

    Raises:
        DrillError: a name is unknown; lists the known ones.
    """
    known = {scenario.name: scenario for scenario in CATALOGUE}
    for name in names:
        if name not in known:
            raise DrillError(f"There is no scenario {name!r}; choose from {', '.join(known)}")
    return tuple(one for one in CATALOGUE if (one.name in names if names else one.listed))


def strike_of(scenario: Scenario, number: int) -> Strike:
    """What a repetition of a scenario does."""
    return kill_by_turns(number) if scenario.name == "kills" else scenario.strike

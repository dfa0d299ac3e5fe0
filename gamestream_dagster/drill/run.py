"""A whole drill: provision and deploy, the answer without a fault, then one scenario after the other."""

from __future__ import annotations

import platform as machine
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from gamestream_dagster.catalogue.sources import score_source
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.drill.crowd import PausableCrowd
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.model import Boards, DrillRun, ScenarioResult
from gamestream_dagster.drill.playing import CHECKPOINTS_BEFORE, CHECKPOINTS_LIMIT_SECONDS, compare_boards, play
from gamestream_dagster.drill.sandbox import kept_sandbox, new_sandbox
from gamestream_dagster.drill.scenarios import Scenario
from gamestream_dagster.drill.site import Site
from gamestream_dagster.drill.watcher import LOOK_SECONDS, Watcher
from gamestream_dagster.drill.witness import Witness
from gamestream_dagster.events.producer import SendingError
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.flink_jobs.control import manager as jobs_manager
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.flink_jobs.spec.catalogue import default_jobs, load_jobs
from gamestream_dagster.platform.errors import PlatformError
from gamestream_dagster.provisioning import manager as provisioning
from gamestream_dagster.provisioning.model import Outcome, ResourceKind
from gamestream_dagster.settings import Settings

SEED = 5
RATE = 100.0
CROWD = {"dup": 2.0, "bad": 2.0, "teams": 20, "max_score": 20}
"""Some records twice and some bad: they must not count twice, or at all, after a restore either."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class DrillOptions:
    """What to play, and how."""

    scenarios: Sequence[Scenario]
    repeat: int = 1
    seed: int = SEED
    rate: float = RATE
    """Events a second."""
    look_seconds: float = LOOK_SECONDS
    """Between two looks of the job manager."""


def drill_on(
    on: Path | None,
    port_base: int | None,
    options: DrillOptions,
    say: Say = lambda _: None,
    on_result: Callable[[ScenarioResult], None] = lambda _: None,
) -> DrillRun:
    """A drill on servers of its own, which are started for it; the time in the run is that of everything.

    Args:
        on: a home that was made for drills, left running; None: a new one that is gone afterwards.
        port_base: first of its ports; None: free ones.
        options: what to play.
        say: told what is being done.
        on_result: told of each result when it is there.

    Raises:
        DrillError, PlatformError: there are no servers to drill on.
    """
    started = time.monotonic()
    with kept_sandbox(on, port_base, say) if on else new_sandbox(port_base, say) as settings:
        run = drill(settings, options, say, on_result)
    return replace(run if on else _without_pages(run), seconds=time.monotonic() - started)


def _without_pages(run: DrillRun) -> DrillRun:
    """The run without its reconciliation reports, which are gone with the home that they were in."""
    results = [one if one.boards is None else replace(one, boards=_without_page(one.boards)) for one in run.results]
    return replace(run, results=tuple(results), fault_free=run.fault_free and _without_page(run.fault_free))


def _without_page(boards: Boards) -> Boards:
    return replace(boards, report=None)


def drill(
    settings: Settings,
    options: DrillOptions,
    say: Say = lambda _: None,
    on_result: Callable[[ScenarioResult], None] = lambda _: None,
) -> DrillRun:
    """Play scenarios on a running stack that nobody else uses. Whatever stands in the way ends up in the run.

    Args:
        settings: the stack. Its servers are killed, its topics get the crowd's events.
        options: what to play.
        say: told what is being done.
        on_result: told of each result when it is there.
    """
    started_at, started = datetime.now(UTC), time.monotonic()
    run = DrillRun(
        run_id=f"{started_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}",
        started_at=started_at,
        seconds=0.0,
        seed=options.seed,
        rate=options.rate,
        look_seconds=options.look_seconds,
        checkpoint_seconds=settings.checkpoint_interval_seconds,
        facts=_facts(),
    )
    found = _Found(on_result)
    try:
        with _site(settings, options, say) as site:
            run = replace(run, facts={**run.facts, "Flink": site.witness.flink.overview().version})
            _play_all(site, options, found)
    except (DrillError, ServiceError, FlinkJobError, PlatformError, SendingError) as error:
        found.could_not = str(error)
    except KeyboardInterrupt:  # hours of kills may have been played: they are worth a report
        found.could_not = "it was interrupted"
    seconds, results = time.monotonic() - started, tuple(found.results)
    return replace(run, fault_free=found.fault_free, results=results, could_not=found.could_not, seconds=seconds)


@dataclass
class _Found:
    """What has been found so far."""

    on_result: Callable[[ScenarioResult], None]
    fault_free: Boards | None = None
    results: list[ScenarioResult] = field(default_factory=list[ScenarioResult])
    could_not: str = ""


def _play_all(site: Site, options: DrillOptions, found: _Found) -> None:
    found.fault_free = _fault_free(site)
    if not found.fault_free.equal:
        found.could_not = f"the boards are not right before any fault: {found.fault_free.reason}"
        return
    for number in range(1, options.repeat + 1):
        for scenario in options.scenarios:
            mine = _for(site, f"{scenario.name}{f' {number}' if options.repeat > 1 else ''}")
            mine.say(scenario.title)
            result = play(mine, scenario, number)
            found.results.append(result)
            found.on_result(result)
            twice = [bool(one.could_not) for one in found.results[-2:]] == [True, True]
            if twice or any(job.back_seconds is None for job in result.jobs):
                found.could_not = f"after {scenario.name} the jobs do not run: no more can be tried"
                return


def _for(site: Site, name: str) -> Site:
    return replace(site, say=lambda text: site.say(f"{name}: {text}"))


def _fault_free(site: Site) -> Boards:
    """The same crowd without a fault: what the boards must show is what the recompute gives, and they show it."""
    site.say("without a fault: play and compare")
    site.crowd.resume()
    site.witness.wait_checkpoints(CHECKPOINTS_BEFORE, CHECKPOINTS_LIMIT_SECONDS)
    found = compare_boards(site)
    site.records_before = found.records - site.crowd.sent
    # events of an earlier drill on this stack count as sent before
    return replace(found, sent=found.records, lost=0, doubled=0) if site.records_before else found


@contextmanager
def _site(settings: Settings, options: DrillOptions, say: Say) -> Iterator[Site]:
    # the crowd plays for the boards, and by them a fault is judged: other jobs would only take the machine's time
    wanted = default_jobs(load_jobs(season=settings.season))
    jobs = tuple(name for name, spec in wanted.items() if any(output.ranked for output in spec.outputs))
    _provision(settings, say)
    for job in jobs:
        say(f"deploy {job}")
        jobs_manager.apply_job(settings, job)
    before = sum(KafkaAdmin(settings.kafka).end_offsets(score_source(settings).topic).values())
    crowd = PausableCrowd(settings, _crowd(options))
    try:
        with (
            FlinkRest(settings.flink_rest) as flink,
            Watcher(settings, jobs, options.look_seconds, say) as watcher,
        ):
            witness = Witness(flink, jobs, settings.checkpoints_dir)
            yield Site(settings, jobs, crowd, watcher, witness, say, before)
    finally:
        crowd.close()


def _crowd(options: DrillOptions) -> SimulatorOptions:
    start_ms = int(time.time() * 1000)
    return SimulatorOptions.model_validate({"seed": options.seed, "start_ms": start_ms, "rate": options.rate, **CROWD})


def _provision(settings: Settings, say: Say) -> None:
    say("provision topics, subjects and tables")
    kinds = tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB)
    for step in provisioning.apply(settings, provisioning.plan(settings, kinds)):
        if step.outcome is Outcome.FAILED:
            raise DrillError(f"{step.planned.kind} {step.planned.name} could not be made: {step.error}")


def _facts() -> dict[str, str]:
    cores, memory = psutil.cpu_count() or 0, psutil.virtual_memory().total / 2**30
    return {"Machine": f"{cores} cores, {memory:.0f} GiB, {machine.system()}", "Python": machine.python_version()}

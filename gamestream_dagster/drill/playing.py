"""Runs one scenario: wait for checkpoints, inject, wait for recovery, drain, compare the boards, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.model import BackBy, Boards, JobOutcome, ScenarioResult, TimelineEntry
from gamestream_dagster.drill.scenarios import Scenario, strike_of
from gamestream_dagster.drill.site import Site
from gamestream_dagster.drill.struck import Struck
from gamestream_dagster.drill.witness import POLL_SECONDS, Mark, checkpoint_number, local_path
from gamestream_dagster.events.producer import SendingError
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.flink_jobs.observe.observer import same_path
from gamestream_dagster.flink_jobs.record.deployment import Deployment, Trigger
from gamestream_dagster.platform.errors import PlatformError
from gamestream_dagster.reconciliation.model.proof import FaultKind, ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.run import reconcile

CHECKPOINTS_BEFORE = 2
CHECKPOINTS_LIMIT_SECONDS = 120.0
_IDLE_SECONDS = 120.0
_COMPARE_TRIES = 3
_INCIDENTS = 3
# An incident begins when Flink reports the trouble; both clocks are this machine's.
_EARLIER_SECONDS = 1.0


def play(site: Site, scenario: Scenario, number: int = 1) -> ScenarioResult:
    """One repetition of a scenario. Every error ends up in the result; the fault is always cleaned up."""
    started_at, started = datetime.now(UTC), time.monotonic()
    result = ScenarioResult(scenario.name, scenario.title, scenario.expects, number, started_at, 0.0)
    found: dict[str, object] = {}
    try:
        found = _Play(site, scenario, number).run()
    except (DrillError, ServiceError, FlinkJobError, PlatformError, SendingError) as error:
        found = {"could_not": str(error)}
    return replace(result, **found, seconds=time.monotonic() - started)


def compare_boards(site: Site) -> Boards:
    """Pause the crowd, drain the stream, and compare every board with the recompute of the same events.

    A job that is still healing prevents the reconciliation; it is retried.

    Raises:
        SendingError: not every event could be delivered.
        DrillError: the boards could not be observed.
    """
    sent = site.crowd.pause()
    reason = ""
    for _ in range(_COMPARE_TRIES):
        site.say(f"{sent} events sent; drain and reconcile")
        run = reconcile(site.settings, "drained")
        if run.verdict is not Verdict.COULD_NOT_RUN:
            return boards_of(run, sent + site.records_before, site.source.topic)
        reason = run.reason
        site.say(f"could not compare: {reason}")
        _wait("the job manager ends its work", site.watcher.idle, _IDLE_SECONDS)
        site.witness.wait_checkpoints(1, CHECKPOINTS_LIMIT_SECONDS)
    raise DrillError(f"the boards could not be compared: {reason}")


def boards_of(run: ReconciliationRun, sent: int, topic: str) -> Boards:
    """The part of a reconciliation that a drill reports; it sends into one topic."""
    records = sum(one.records for one in run.ledgers if one.topic == topic)
    faults = run.ledger_faults
    missing = sum(one.records for one in faults if one.kind in (FaultKind.MISSING, FaultKind.HOLE))
    twice = sum(one.records for one in faults if one.kind in (FaultKind.TWICE, FaultKind.OVERLAP))
    looked = run.verdict is not Verdict.COULD_NOT_RUN
    return Boards(
        verdict=run.verdict.value,
        reason=run.reason,
        rows_compared=run.rows_compared,
        rows_different=run.rows_different,
        records=records,
        sent=sent,
        lost=missing + (max(0, sent - records) if looked else 0),
        doubled=twice + (max(0, records - sent) if looked else 0),
        balanced=looked and run.balanced,
        report=run.report_path,
    )


def _wait(what: str, wanted: Callable[[], bool], limit: float) -> None:
    deadline = time.monotonic() + limit
    while not wanted():
        if time.monotonic() > deadline:
            raise DrillError(f"{what}: not within {limit:.0f} s")
        time.sleep(POLL_SECONDS)


@dataclass
class _Play:
    """One repetition in progress."""

    site: Site
    scenario: Scenario
    number: int
    before: dict[str, Mark] = field(default_factory=dict[str, Mark])
    back: dict[str, tuple[float, Mark]] = field(default_factory=dict[str, tuple[float, Mark]])
    """When each job had recovered, epoch seconds, and its state then."""

    def run(self) -> dict[str, object]:
        site, watcher = self.site, self.site.watcher
        site.crowd.resume()
        site.say(f"wait for {CHECKPOINTS_BEFORE} checkpoints of each job")
        self.before = site.witness.wait_checkpoints(CHECKPOINTS_BEFORE, CHECKPOINTS_LIMIT_SECONDS)
        site.witness.together.clear()
        generations = {job: self._history(job)[0].generation for job in site.jobs}
        with strike_of(self.scenario, self.number)(site, self.before) as struck:
            site.say("wait until every job runs with a new checkpoint")
            self._wait_back(struck)
            self._wait_seen(struck)
            _wait("the job manager ends its work", watcher.idle, _IDLE_SECONDS)
        jobs = tuple(self._outcome(job, struck, generations[job]) for job in site.jobs)
        # without a running job nothing can drain, and the verdict is clear
        boards = compare_boards(site) if len(self.back) == len(site.jobs) else None
        return {"jobs": jobs, "boards": boards, "notes": struck.notes, "broken": struck.broken}

    def _wait_back(self, struck: Struck) -> None:
        """Until every job is back or parked, or the limit has passed; the outcome then names the missing ones."""
        deadline = struck.at + self.scenario.limit_seconds
        while time.time() < deadline and len(self.back) < len(self.site.jobs):
            self._note_back(self.site.witness.try_marks(), struck)
            parked = [job for job in self.site.jobs if self._parked(job, struck)]
            if parked and self.site.watcher.idle() and len(parked) + len(self.back) >= len(self.site.jobs):
                return
            time.sleep(POLL_SECONDS)

    def _note_back(self, marks: Mapping[str, Mark], struck: Struck) -> None:
        for job, mark in marks.items():
            fresh = mark.fresh_checkpoint(struck.since * 1000) if mark.running else None
            restored = mark.went_on_from(self.before[job])
            if job in self.back or fresh is None or (self.scenario.stops_jobs and not restored):
                continue
            at = (fresh.acknowledged_ms or fresh.triggered_ms) / 1000
            self.back[job] = (at, mark)
            self.site.say(f"{job}: back after {at - struck.at:.1f} s, with checkpoint {fresh.checkpoint_id}")

    def _wait_seen(self, struck: Struck) -> None:
        """A job that Flink recovered between two observations shows up in the next one."""

        def seen() -> bool:
            failed = [job for job, (_, mark) in self.back.items() if mark.went_on_from(self.before[job])]
            return all(self._seen(job, struck) is not None or self._asked(job, struck) for job in failed)

        deadline = time.monotonic() + self.site.watcher.every + 15
        while not seen() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _seen(self, job: str, struck: Struck) -> float | None:
        """Seconds until an observation found the job unhealthy, or that it had been; None when none has."""
        for look in self.site.watcher.since(struck.at, job):
            began = look.incident_since
            if not look.well or (began is not None and began > struck.at - _EARLIER_SECONDS):
                return look.at - struck.at
        return None

    def _parked(self, job: str, struck: Struck) -> str:
        return next((look.parked for look in reversed(self.site.watcher.since(struck.at, job)) if look.parked), "")

    def _history(self, job: str) -> list[Deployment]:
        return manager.history(self.site.settings, job, 10)

    def _asked(self, job: str, struck: Struck) -> bool:
        """Whether an operator requested the job's present state."""
        last = self._history(job)[0]
        asked = last.trigger in (Trigger.REDEPLOY, Trigger.HAND)
        return asked and last.submitted_at is not None and last.submitted_at.timestamp() > struck.at

    def _outcome(self, job: str, struck: Struck, generation: int) -> JobOutcome:
        before, history = self.before[job], self._history(job)
        timeline = self._timeline(job, struck)
        twice = self._twice(job, history, generation)
        seen = self._seen(job, struck)
        if job not in self.back:
            parked = self._parked(job, struck)
            return JobOutcome(job, BackBy.MANAGER, seen, twice=twice, parked=parked, timeline=timeline)
        at, mark = self.back[job]
        if not mark.went_on_from(before):
            return JobOutcome(job, BackBy.NOBODY, seen, at - struck.at, twice=twice, timeline=timeline)
        back_by = BackBy.FLINK if mark.flink_job_id == before.flink_job_id else BackBy.MANAGER
        back_by = BackBy.PERSON if self._asked(job, struck) else back_by
        restored, expected, right = self._restored(job, mark, history, struck)
        return JobOutcome(
            job=job,
            back_by=back_by,
            seen_seconds=seen,
            back_seconds=at - struck.at,
            restored_from=_short(restored),
            expected=_short(expected),
            restored_right=right,
            twice=twice,
            timeline=timeline,
        )

    def _restored(self, job: str, mark: Mark, history: list[Deployment], struck: Struck) -> tuple[str, str, bool]:
        """What Flink reports as restored, what was required, and whether they agree."""
        before, restored = self.before[job], mark.restored_path or ""
        if mark.flink_job_id == before.flink_job_id:
            least = before.newest.checkpoint_id if before.newest else 0
            right = mark.restored_id is not None and mark.restored_id >= least
            return restored, restored if right else f"chk-{least}", right
        stopped = next((one.savepoint_path for one in history if one.flink_job_id == before.flink_job_id), None)
        if stopped and "/chk-" not in stopped:
            written = local_path(stopped) / "_metadata"
            began = struck.at if struck.began is None else struck.began
            right = same_path(restored, stopped) and written.is_file() and written.stat().st_mtime >= began
            return restored, stopped, right
        readable = [path for path in self.site.witness.on_disk(before.flink_job_id) if path not in struck.unreadable]
        expected = readable[-1].as_uri() if readable else ""
        return restored, expected, same_path(restored, expected)

    def _twice(self, job: str, history: list[Deployment], generation: int) -> str:
        together = self.site.witness.together.get(job)
        if together:
            return f"{together} were live at the same moment"
        unknown = self.site.witness.ids.get(job, set()) - {one.flink_job_id for one in self._all(job)}
        if unknown:
            return f"Flink had {', '.join(sorted(unknown))}, which has no record"
        new = [one for one in history if one.generation > generation]
        failed = [one for one in new if one.running_at is None]
        if len(new) - len(failed) > 1:
            return f"{len(new)} generations were submitted"
        return ""

    def _all(self, job: str) -> list[Deployment]:
        return manager.history(self.site.settings, job, 1000)

    def _timeline(self, job: str, struck: Struck) -> tuple[TimelineEntry, ...]:
        entries = [
            TimelineEntry(entry.at.timestamp() - struck.at, entry.moment.value, entry.text)
            for incident in reversed(manager.incidents(self.site.settings, job, _INCIDENTS))
            for entry in incident.timeline
            if entry.at.timestamp() >= struck.at - _EARLIER_SECONDS
        ]
        return tuple(entries)


def _short(path: str) -> str:
    """`chk-12`, or a savepoint's folder."""
    if "/chk-" in path:
        return f"chk-{checkpoint_number(path)}"
    return path.rstrip("/").rsplit("/", 1)[-1]

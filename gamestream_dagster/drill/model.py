"""Results of a drill as values, and the rules by which a scenario has held. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

SEEN_LIMIT_SECONDS = 60.0
"""Limit for detecting an unhealthy job."""
BACK_LIMIT_SECONDS = 120.0
"""Limit until a job runs again with a new checkpoint."""


class DrillVerdict(StrEnum):
    """The verdict of a scenario, or of a whole drill."""

    HELD = "HELD"  # every requirement held
    NOT_HELD = "NOT_HELD"  # at least one requirement failed
    COULD_NOT_RUN = "COULD_NOT_RUN"  # the scenario could not run: no statement about the job manager


EXIT_CODES = {DrillVerdict.HELD: 0, DrillVerdict.NOT_HELD: 1, DrillVerdict.COULD_NOT_RUN: 2}


class BackBy(StrEnum):
    """Who brought a job back."""

    FLINK = "Flink"  # the same Flink job resumed from a checkpoint
    MANAGER = "job manager"  # the job manager submitted a new generation
    PERSON = "a person"  # requested: by the drill, acting as the operator
    NOBODY = "nobody"  # the job never stopped


@dataclass(frozen=True)
class TimelineEntry:
    """One event in a job's history. `seconds` since the fault."""

    seconds: float
    what: str
    text: str


@dataclass(frozen=True)
class JobOutcome:
    """One job during one fault. Seconds count from the fault."""

    job: str
    back_by: BackBy
    seen_seconds: float | None = None
    """Until the job manager detected it; None when it did not."""
    back_seconds: float | None = None
    """Until a new checkpoint completed while all tasks ran; None when that did not happen."""
    restored_from: str = ""
    """`chk-12`, or a savepoint's folder; empty when nothing was restored."""
    expected: str = ""
    """The state that it had to restore, as the drill found it on disk."""
    restored_right: bool | None = None
    """None when nothing was restored."""
    twice: str = ""
    """Evidence that the job was submitted or ran twice; empty when there is none."""
    parked: str = ""
    """The reason with which the job manager parked it."""
    timeline: tuple[TimelineEntry, ...] = ()


@dataclass(frozen=True)
class Boards:
    """The reconciliation of the drained stream, compared with the run without a fault."""

    verdict: str
    reason: str
    rows_compared: int
    rows_different: int
    records: int
    """Events in the topic."""
    sent: int
    """Events sent."""
    lost: int
    doubled: int
    balanced: bool
    report: Path | None = None

    @property
    def equal(self) -> bool:
        """Every row of every board equals the recompute, and every event was counted once."""
        whole = self.balanced and self.lost == 0 and self.doubled == 0
        return whole and self.rows_compared > 0 and self.rows_different == 0


@dataclass(frozen=True)
class ScenarioResult:
    """One fault and its outcome."""

    name: str
    title: str
    expects: str
    number: int
    """Which repetition, from 1."""
    started_at: datetime
    seconds: float
    jobs: tuple[JobOutcome, ...] = ()
    boards: Boards | None = None
    notes: tuple[str, ...] = ()
    """Observations of the scenario, a sentence each."""
    broken: tuple[str, ...] = ()
    """Requirements that the scenario found violated."""
    could_not: str = ""
    """Why the scenario could not finish."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Violated requirements; empty when the scenario held."""
        return tuple(_reasons(self))

    @property
    def verdict(self) -> DrillVerdict:
        """Whether the scenario held."""
        if self.could_not:
            return DrillVerdict.COULD_NOT_RUN
        return DrillVerdict.NOT_HELD if self.reasons else DrillVerdict.HELD

    @property
    def seen_seconds(self) -> float | None:
        """Of the job that was detected last."""
        return max((one.seen_seconds for one in self.jobs if one.seen_seconds is not None), default=None)

    @property
    def back_seconds(self) -> float | None:
        """Of the job that recovered last; None while one has not."""
        times = [one.back_seconds for one in self.jobs]
        return None if None in times else max((one for one in times if one is not None), default=None)


def _reasons(result: ScenarioResult) -> Iterable[str]:
    yield from result.broken
    for one in result.jobs:
        yield from _job_reasons(one)
    boards = result.boards
    if boards is None:
        yield "the boards were not compared"
    elif not boards.equal:
        figures = f"{boards.rows_different} rows differ, {boards.lost} events lost, {boards.doubled} doubled"
        yield f"the boards are not those of the fault-free answer: {figures} ({boards.reason})"


def _job_reasons(one: JobOutcome) -> Iterable[str]:
    if one.twice:
        yield f"{one.job} was submitted twice: {one.twice}"
    if one.back_seconds is None:
        yield f"{one.job} did not come back"
    elif one.back_seconds > BACK_LIMIT_SECONDS and one.back_by is not BackBy.PERSON:
        yield f"{one.job} was back after {one.back_seconds:.0f} s, the limit is {BACK_LIMIT_SECONDS:.0f} s"
    if one.restored_right is False:
        yield f"{one.job} was restored from {one.restored_from or 'nothing'}, it should be {one.expected or 'nothing'}"
    if one.back_by in (BackBy.NOBODY, BackBy.PERSON):
        return  # it stayed healthy, or an operator knew
    if one.seen_seconds is None:
        yield f"nobody saw that {one.job} was not well"
    elif one.seen_seconds > SEEN_LIMIT_SECONDS:
        yield f"{one.job} was seen after {one.seen_seconds:.0f} s, the limit is {SEEN_LIMIT_SECONDS:.0f} s"


@dataclass(frozen=True)
class DrillRun:
    """One drill."""

    run_id: str
    started_at: datetime
    seconds: float
    seed: int
    rate: float
    look_seconds: float
    checkpoint_seconds: int
    fault_free: Boards | None = None
    results: tuple[ScenarioResult, ...] = ()
    could_not: str = ""
    """Why the drill stopped early."""
    facts: dict[str, str] = field(default_factory=dict[str, str])
    """The machine and the versions."""

    @property
    def verdict(self) -> DrillVerdict:
        """HELD only when every scenario ran and held."""
        verdicts = [result.verdict for result in self.results]
        if DrillVerdict.NOT_HELD in verdicts:
            return DrillVerdict.NOT_HELD
        tried = self.fault_free is not None and self.fault_free.equal and bool(verdicts)
        if self.could_not or not tried or DrillVerdict.COULD_NOT_RUN in verdicts:
            return DrillVerdict.COULD_NOT_RUN
        return DrillVerdict.HELD

    @property
    def exit_code(self) -> int:
        """0 held, 1 not held, 2 could not run."""
        return EXIT_CODES[self.verdict]

    @property
    def times(self) -> tuple[Times, ...]:
        """p50 and p95 of each scenario that was repeated."""
        names = dict.fromkeys(result.name for result in self.results)
        found = [times(name, [one for one in self.results if one.name == name]) for name in names]
        return tuple(one for one in found if one.count > 1)


@dataclass(frozen=True)
class Times:
    """Seconds over several repetitions of a scenario, one sample per job."""

    name: str
    count: int
    seen: tuple[float, float] | None
    """p50, p95."""
    back: tuple[float, float] | None


def times(name: str, results: Sequence[ScenarioResult]) -> Times:
    """p50 and p95 over the jobs of some results."""
    jobs = [job for result in results for job in result.jobs if job.back_by is not BackBy.NOBODY]
    seen = [job.seen_seconds for job in jobs if job.seen_seconds is not None]
    back = [job.back_seconds for job in jobs if job.back_seconds is not None]
    return Times(name, len(results), _both(seen), _both(back))


def _both(values: Sequence[float]) -> tuple[float, float] | None:
    return (percentile(values, 50), percentile(values, 95)) if values else None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` per cent of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]

"""The matrix of a drill as text, shared by terminal, page and Dagster. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gamestream_dagster.drill.model import BackBy, DrillRun, JobOutcome, ScenarioResult, Times

NOT_KNOWN = "–"
COLUMNS = (
    "scenario",
    "seen after",
    "back after",
    "by",
    "restored from",
    "right",
    "twice",
    "lost",
    "doubled",
    "boards equal",
    "verdict",
)


@dataclass(frozen=True)
class MatrixRow:
    """One line of the matrix, a word or two per cell."""

    scenario: str
    seen: str
    back: str
    back_by: str
    restored: str
    right: str
    twice: str
    lost: str
    doubled: str
    boards: str
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of `COLUMNS`."""
        return tuple(asdict(self).values())


def matrix(run: DrillRun) -> list[MatrixRow]:
    """A line for each result, in the order of the run."""
    repeated = any(result.number > 1 for result in run.results)
    return [matrix_row(result, repeated) for result in run.results]


def matrix_row(result: ScenarioResult, repeated: bool = False) -> MatrixRow:
    """One result as text, with the seconds and state of the worst job."""
    boards, jobs = result.boards, result.jobs
    restored = [one for one in jobs if one.restored_right is not None]
    return MatrixRow(
        scenario=f"{result.name} {result.number}" if repeated else result.name,
        seen=seconds(result.seen_seconds),
        back=seconds(result.back_seconds),
        back_by=", ".join(dict.fromkeys(one.back_by.value for one in jobs)) or NOT_KNOWN,
        restored=", ".join(dict.fromkeys(_kind(one.restored_from) for one in restored)) or NOT_KNOWN,
        right=_yes(all(one.restored_right for one in restored)) if restored else NOT_KNOWN,
        twice=_yes(any(one.twice for one in jobs)) if jobs else NOT_KNOWN,
        lost=str(boards.lost) if boards else NOT_KNOWN,
        doubled=str(boards.doubled) if boards else NOT_KNOWN,
        boards=_yes(boards.equal) if boards else NOT_KNOWN,
        verdict=result.verdict.value,
    )


def job_line(one: JobOutcome) -> str:
    """How one job recovered, as a sentence with its name."""
    return f"{one.job}: {job_words(one)}"


def job_words(one: JobOutcome) -> str:
    """The same without its name."""
    if one.parked and one.back_by is not BackBy.PERSON:
        return f"parked: {one.parked}"
    if one.back_by is BackBy.NOBODY:
        return f"went on by itself; a new checkpoint after {seconds(one.back_seconds)}"
    if one.back_seconds is None:
        return f"not back (seen after {seconds(one.seen_seconds)})"
    if one.back_by is BackBy.PERSON:
        return f"back after {seconds(one.back_seconds)}, as a person asked, from {one.restored_from or 'nothing'}"
    return (
        f"seen after {seconds(one.seen_seconds)}, back after {seconds(one.back_seconds)} by "
        f"{one.back_by.value}, from {one.restored_from or 'nothing'}"
    )


def times_line(one: Times) -> str:
    """p50 and p95 of a repeated scenario, as a sentence."""
    told = [
        f"{what} p50 {found[0]:.1f} s, p95 {found[1]:.1f} s"
        for what, found in (("seen", one.seen), ("back", one.back))
        if found
    ]
    return f"{one.name}, {one.count} times: {'; '.join(told) or 'no job failed'}"


def seconds(value: float | None) -> str:
    """`8.4 s`."""
    return NOT_KNOWN if value is None else f"{value:.1f} s"


def as_data(run: DrillRun) -> dict[str, Any]:
    """The run as plain values for JSON, with verdicts, reasons and percentiles."""
    found = asdict(run)
    for result, plain in zip(run.results, found["results"], strict=True):
        plain |= {
            "verdict": result.verdict.value,
            "reasons": list(result.reasons),
            "seen_seconds": result.seen_seconds,
            "back_seconds": result.back_seconds,
        }
    return {**found, "verdict": run.verdict.value, "times": [asdict(one) for one in run.times]}


def _kind(restored: str) -> str:
    """A checkpoint by its name; a savepoint without its long and meaningless name."""
    return "savepoint" if restored.startswith("savepoint-") else restored or "nothing"


def _yes(value: bool) -> str:
    return "yes" if value else "no"

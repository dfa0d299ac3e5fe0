"""From what the comparison found to faults with causes and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gamestream_dagster.fates.outputs import INTAKE_JOB, OUTPUT_TOPICS, SCORES_TOPIC, Fate
from gamestream_dagster.reconciliation.causes.policy import Policy
from gamestream_dagster.reconciliation.intake.archived import JudgedIntake
from gamestream_dagster.reconciliation.intake.model import FateFault, FateKind
from gamestream_dagster.reconciliation.model.values import Cause
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger

MOST_RUNS = 100
"""Runs of positions that are told one by one."""
_PLACES = 3


def faults_of(
    archived: JudgedIntake,
    unreadable: Sequence[tuple[str, int, int]],
    counted: JobLedger,
    policy: Policy,
) -> list[FateFault]:
    """The first faults, each with its cause.

    Args:
        archived: after everything was judged.
        unreadable: records of outputs that the job cannot have written.
        counted: what intake itself counted of the raw topic.
        policy: says which causes are acceptable.
    """
    never_read = _never_read(archived, counted)
    found: list[FateFault] = []
    for row in archived.runs(MOST_RUNS):
        places = archived.held_in(row["partition"], row["first_offset"], row["last_offset"], _PLACES)
        found.append(_fault(row, places, never_read, policy))
    for row in archived.score_runs(MOST_RUNS):
        found.append(_fault({**row, "fate": Fate.ENRICHED.value, "conflict": False}, [], never_read, policy))
    for topic, partition, offset in unreadable:
        sentence = f"{topic} p{partition}@{offset} is no record of {INTAKE_JOB}: another producer wrote it"
        found.append(
            FateFault(
                FateKind.FOREIGN, partition, offset, offset, 1, None, Cause.EDITED_BY_HAND, accepted=False,
                held_in=(f"{topic} p{partition}@{offset}",), sentence=sentence,
            )
        )  # fmt: skip
    return found


def _never_read(archived: JudgedIntake, counted: JobLedger) -> Mapping[int, int]:
    """By partition, how many records before its own last position intake has not counted; unknown ones left out."""
    found: dict[int, int] = {}
    for (job, partition), total in counted.totals.items():
        if job == INTAKE_JOB and not archived.chapter.begins.get(partition):
            found[partition] = archived.archived_upto(partition, total["last_offset"]) - total["records"]
    return found


def _fault(row: Mapping[str, Any], places: Sequence[str], never_read: Mapping[int, int], policy: Policy) -> FateFault:
    kind = FateKind(row["verdict"])
    expected = None if row["fate"] is None else Fate(row["fate"])
    lacking = never_read.get(row["partition"], 0)
    cause = _cause(kind, bool(row["conflict"]), row["records"], lacking)
    run = f"p{row['partition']}@{row['first_offset']}"
    if row["last_offset"] > row["first_offset"]:
        run += f"..{row['last_offset']}"
    told = " ".join(_told(kind, run, row["records"], expected, places, cause))
    return FateFault(
        kind,
        row["partition"],
        row["first_offset"],
        row["last_offset"],
        row["records"],
        expected,
        cause,
        accepted=cause in policy.accept,
        held_in=tuple(places),
        sentence=told,
    )


def _cause(kind: FateKind, conflict: bool, records: int, lacking: int) -> Cause:
    match kind:
        case FateKind.COUNTED_AGAIN:
            return Cause.DUP_CONFLICT if conflict else Cause.DUPLICATE
        case FateKind.FOREIGN:
            return Cause.EDITED_BY_HAND
        case FateKind.MISSING if lacking == records:
            return Cause.MISSING_EVENTS
        case _:
            return Cause.UNEXPLAINED


def _told(
    kind: FateKind, run: str, records: int, expected: Fate | None, places: Sequence[str], cause: Cause
) -> Iterator[str]:
    many = f"{records:,} record{'s' if records > 1 else ''} of {run}"
    belongs = "nowhere, for it is a copy" if expected is Fate.COPY else OUTPUT_TOPICS.get(expected or Fate.COPY, "")
    match kind:
        case FateKind.MISSING:
            yield f"{many} should be in {belongs} and no output has them;"
            if cause is Cause.MISSING_EVENTS:
                yield f"{INTAKE_JOB} never counted them either"
            else:
                yield f"{INTAKE_JOB} read past them, and nothing tells where their outputs went"
        case FateKind.DOUBLED if expected is Fate.COPY:
            yield f"{many}: a copy of an earlier event was counted while the job still knew its id"
        case FateKind.DOUBLED:
            yield f"{many} has more than one record in the outputs; it belongs once into {belongs}"
        case FateKind.WRONG_PLACE:
            yield f"{many} belongs {'' if expected is Fate.COPY else 'into '}{belongs} and is elsewhere"
        case FateKind.WRONG_CONTENT:
            yield f"{many} is in {belongs} with another digest, reason or other bytes than the archive has"
        case FateKind.COUNTED_AGAIN:
            what = "other content under a known id" if cause is Cause.DUP_CONFLICT else "a copy"
            yield f"{many}: {what}, counted because the job may have forgotten the id by then"
        case FateKind.FOREIGN:
            yield f"the outputs have records about {run}, which the raw topic does not hold"
        case FateKind.SCORE_MISSING:
            yield f"{many}: enriched scores that {SCORES_TOPIC} does not hold"
        case FateKind.SCORE_DOUBLED:
            yield f"{many}: scores that {SCORES_TOPIC} holds more often than they were enriched"
        case FateKind.SCORE_CONTENT:
            yield f"{many}: scores that {SCORES_TOPIC} holds with another team or other points"
    if places:
        yield f"(found: {', '.join(places)})"

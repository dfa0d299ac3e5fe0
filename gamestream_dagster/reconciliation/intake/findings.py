"""From what the comparison found to faults with causes and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    fault = FateFault(
        kind,
        row["partition"],
        row["first_offset"],
        row["last_offset"],
        row["records"],
        expected,
        cause,
        accepted=cause in policy.accept,
        held_in=tuple(places),
        sentence="",
    )
    return replace(fault, sentence=_told(fault))


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


def _told(fault: FateFault) -> str:
    sentence = _SENTENCES.get((fault.kind, fault.cause)) or _SENTENCES.get((fault.kind, fault.expected))
    run = f"p{fault.partition}@{fault.first_offset}"
    if fault.last_offset > fault.first_offset:
        run += f"..{fault.last_offset}"
    many = f"{fault.records:,} record{'s' if fault.records > 1 else ''} of {run}"
    belongs = "nowhere" if fault.expected is Fate.COPY else f"into {OUTPUT_TOPICS.get(fault.expected or Fate.COPY, '')}"
    told = (sentence or _SENTENCES[fault.kind, None]).format(many=many, run=run, belongs=belongs)
    return f"{told} (found: {', '.join(fault.held_in)})" if fault.held_in else told


_SENTENCES: Mapping[tuple[FateKind, Cause | Fate | None], str] = {
    (FateKind.MISSING, None): (
        f"{{many}} belong {{belongs}} and are in no output; {INTAKE_JOB} read past them, and nothing shows where their "
        "outputs went"
    ),
    (FateKind.MISSING, Cause.MISSING_EVENTS): (
        f"{{many}} belong {{belongs}} and are in no output; {INTAKE_JOB} never counted them either"
    ),
    (FateKind.DOUBLED, None): "{many}: several records in the outputs; belongs {belongs}, once",
    (FateKind.DOUBLED, Fate.COPY): "{many}: copies of an earlier event, counted while the job still knew its id",
    (FateKind.WRONG_PLACE, None): "{many}: belongs {belongs} and is elsewhere",
    (FateKind.WRONG_CONTENT, None): (
        "{many}: belongs {belongs} and is there, with another digest, reason or other bytes than the archive has"
    ),
    (FateKind.COUNTED_AGAIN, None): "{many}: copies, counted again because the job may have forgotten the id by then",
    (FateKind.COUNTED_AGAIN, Cause.DUP_CONFLICT): (
        "{many}: other content under an id that came before, counted because the job may have forgotten the id by then"
    ),
    (FateKind.FOREIGN, None): "the outputs have records about {run}, which the raw topic does not hold",
    (FateKind.SCORE_MISSING, None): f"{{many}}: enriched scores that {SCORES_TOPIC} does not hold",
    (FateKind.SCORE_DOUBLED, None): f"{{many}}: scores that {SCORES_TOPIC} holds more often than they were enriched",
    (FateKind.SCORE_CONTENT, None): f"{{many}}: scores that {SCORES_TOPIC} holds with another team or other points",
}

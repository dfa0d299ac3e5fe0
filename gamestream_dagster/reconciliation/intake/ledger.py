"""The ledger of intake: four stages, minute by minute, each counted by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gamestream_dagster.fates.outputs import INTAKE_JOB, SCORES_TOPIC
from gamestream_dagster.reconciliation.intake.archived import JudgedIntake
from gamestream_dagster.reconciliation.intake.http_stage import HttpStage
from gamestream_dagster.reconciliation.intake.model import IntakeLedger, IntakeMinute, clock
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger


def intake_ledger(archived: JudgedIntake, http: HttpStage, counted: JobLedger, since: int) -> IntakeLedger:
    """The ledger from what a proof has judged.

    Args:
        archived: after positions and scores were judged.
        http: the first stage.
        counted: intake's own counts.
        since: a minute, milliseconds.
    """
    minutes: dict[int, IntakeMinute] = {}
    for (minute, _), counts in http.counts.items():
        one = minutes.setdefault(minute, IntakeMinute(minute))
        one.http = one.http.plus(counts)
    for (minute, _), bearing in http.bearing.items():
        if minute >= since:
            minutes.setdefault(minute, IntakeMinute(minute)).bearing += bearing.records
    jobs = _job_minutes(counted)
    for row in archived.minutes(since):
        _add_raw(minutes.setdefault(row["minute"], IntakeMinute(row["minute"])), row, jobs)
    for minute, sentence in http.faults():
        minutes.setdefault(minute, IntakeMinute(minute)).faults.append(sentence)
    for row in archived.minute_faults(since):
        minutes.setdefault(row["minute"], IntakeMinute(row["minute"])).faults.append(_fault(row))
    return IntakeLedger(since, [minutes[minute] for minute in sorted(minutes)])


def _add_raw(one: IntakeMinute, row: Mapping[str, Any], jobs: Mapping[int, int]) -> None:
    one.raw, one.enriched, one.late, one.dead = row["records"], row["enriched"], row["late"], row["dead"]
    one.copies, one.open, one.scores = row["copies"], row["open"], row["scores"]
    if one.raw != one.settled:
        one.faults.append(
            f"{one.raw:,} raw records = {one.enriched:,} enriched + {one.late:,} late + {one.dead:,} dead letters + "
            f"{one.copies:,} copies + {one.open:,} open does not hold"
        )
    if row["settled"]:
        one.job = jobs.get(one.minute, 0)
        if one.job != one.raw:
            one.faults.append(f"{INTAKE_JOB} counted {one.job:,} records, the archive holds {one.raw:,}")


def _job_minutes(counted: JobLedger) -> Mapping[int, int]:
    """Records by minute, over all partitions, by intake's own count."""
    found: dict[int, int] = {}
    columns = counted.columns
    for job, minute, records in zip(columns["job"], columns["minute"], columns["records"], strict=True):
        if counted.jobs[job] == INTAKE_JOB:
            found[minute] = found.get(minute, 0) + records
    return found


def _fault(row: Mapping[str, Any]) -> str:
    run = f"p{row['partition']}@{row['first_offset']}"
    if row["last_offset"] > row["first_offset"]:
        run += f"..{row['last_offset']}"
    about = f" in {SCORES_TOPIC}" if row["verdict"].startswith("SCORE") else ""
    return f"{row['records']:,} {row['verdict']}{about} at {run}"


def ledger_data(ledger: IntakeLedger) -> dict[str, Any]:
    """The ledger as JSON data."""
    return {
        "since": clock(ledger.since),
        "balanced": ledger.balanced,
        "minutes": [_minute_data(one) for one in ledger.minutes],
    }


def _minute_data(one: IntakeMinute) -> dict[str, Any]:
    return {
        "minute": clock(one.minute),
        "http": one.http._asdict(),
        "raw_with_header": one.bearing,
        "raw": one.raw,
        "enriched": one.enriched,
        "late": one.late,
        "dead_lettered": one.dead,
        "copies": one.copies,
        "open": one.open,
        "counted_by_intake": one.job,
        "scores": one.scores,
        "faults": one.faults,
    }

"""The ledger's second counter: what each job counted by itself, minute by minute, against the archive.

A job's row of a minute is what it had counted of it at some moment, up to the row's own last offset. So it is compared
with the archive up to that offset, whenever it was written, and a running stream gives no false alarm. Beyond that,
every record before the job's low cut must have been counted: the rows are read after the checkpoint that bears it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gamestream_dagster.archive.reader import numbers
from gamestream_dagster.reconciliation.ledger.edited_counter import edited_minutes, edited_total
from gamestream_dagster.reconciliation.ledger.minutes import query_minutes
from gamestream_dagster.reconciliation.ledger.unlike import Unlike, beside_the_archive
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerFault
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement

MAX_SEARCHES = 100
"""Minutes of which the missing run is looked for, each with a look into the archive; more are only told as unlike."""

_SUMMED = ("records", "accepted", "duplicate", "offset_sum")
_ALREADY_TOLD = frozenset({FaultKind.UNLIKE, FaultKind.EDITED})


def counter_faults(
    archive: ArchiveDatabase,
    at: EventsAt,
    counted: JobLedger,
    low: Mapping[str, Cut],
    archive_faults: Iterable[LedgerFault],
) -> list[LedgerFault]:
    """Where a job's own counter and the archive disagree, as runs of offsets.

    Args:
        archive: over the topic.
        at: the cut up to which the archive is compared.
        counted: what the jobs counted.
        low: by job, the cut that its rows surely contain.
        archive_faults: what the archive itself lacks: not told again as what a job has too many.
    """
    unlike = _that_the_archive_can_judge(_unlike_minutes(archive, at, counted, low), list(archive_faults))
    edited = edited_minutes(
        archive, at, totals=counted.totals, told=_minutes_by_partition(counted), low=low, unlike=unlike
    )
    unlike = [one for one in unlike if (one.job, one.partition, one.minute) not in edited]
    found: list[LedgerFault] = []
    for number, one in enumerate(unlike):
        found.append(_fault(archive, at, one, search=number < MAX_SEARCHES))
    found = [*_told_by_totals(archive, at, counted, unlike, found), *edited.values()]
    found = _without_a_row(counted, unlike, found)
    # Where the minutes differ only in what was accepted, the partition may still lack records.
    known = {(fault.where, fault.partition) for fault in found if fault.records}
    broken = {fault.partition for fault in archive_faults}
    for one in _unlike_totals(archive, at, counted):
        if one.impossible:
            found.append(edited_total(one))
        elif (one.job, one.partition) not in known and one.partition not in broken:
            found.append(_fault(archive, at, one, search=True))
    return _joined(archive, at, found)


def _without_a_row(counted: JobLedger, unlike: Sequence[Unlike], found: Sequence[LedgerFault]) -> list[LedgerFault]:
    """Partitions of which a job has no row at all: it counted nothing, or its rows were deleted; nobody can tell."""
    here = set(counted.totals)
    here |= {
        (counted.jobs[job], partition)
        for job, partition in zip(counted.columns["job"], counted.columns["partition_id"], strict=True)
    }
    empty = dict.fromkeys((one.job, one.partition) for one in unlike if (one.job, one.partition) not in here)
    told = [one for one in found if (one.where, one.partition) not in empty]
    for job, partition in empty:
        lacking = [one for one in unlike if (one.job, one.partition) == (job, partition)]
        first, last = min(one.span[0] for one in lacking), max(one.span[1] for one in lacking)
        records = sum(one.missing for one in lacking)
        sentence = (
            f"job_ledger has no row of {job} for p{partition}@{first}..{last}, {records} records that the archive "
            "holds: the job counted none of them, or its rows were deleted; "
            f"`gamestream jobs apply {job} --replay` counts anew"
        )
        told.append(LedgerFault(FaultKind.UNLIKE, job, partition, first, last, records, sentence))
    return told


def _told_by_totals(
    archive: ArchiveDatabase, at: EventsAt, counted: JobLedger, unlike: Sequence[Unlike], found: Sequence[LedgerFault]
) -> list[LedgerFault]:
    """Where the minutes of a partition give no run: one run of the whole partition in their place, if there is one.

    Kafka's times need not be in the order of the offsets. A run, such as what retention deleted before the job began to
    read, is then in pieces in its minutes, and whole in the partition.
    """
    told = list(found)
    for job, partition in dict.fromkeys((one.where, one.partition) for one in found if one.kind is FaultKind.UNLIKE):
        if (total := counted.totals.get((job, partition))) is None:
            continue
        whole = beside_the_archive(archive, at, job, partition, total)
        in_minutes = sum(one.missing for one in unlike if (one.job, one.partition) == (job, partition))
        if whole is None or whole.missing != in_minutes:
            continue
        fault = _fault(archive, at, whole, search=True)
        if fault.kind is not FaultKind.UNLIKE:
            told = [one for one in told if (one.where, one.partition) != (job, partition)] + [fault]
    return told


def _unlike_totals(archive: ArchiveDatabase, at: EventsAt, counted: JobLedger) -> list[Unlike]:
    """Partitions of which the job's state holds other records than the rows of its minutes tell.

    That is so for a moment between two flushes of the sink, and after a restore from an old state: a minute without new
    records keeps the row of the state that was given up. So the archive decides.
    """
    minutes = _minutes_by_partition(counted)
    found: list[Unlike] = []
    for (job, partition), total in sorted(counted.totals.items()):
        if all(total[name] == minutes.get((job, partition), {}).get(name) for name in ("records", "offset_sum")):
            continue
        one = beside_the_archive(archive, at, job, partition, total)
        if one and (one.missing or any(one.sums)):
            found.append(one)
    return found


def _minutes_by_partition(counted: JobLedger) -> dict[tuple[str, int], dict[str, int]]:
    found: dict[tuple[str, int], dict[str, int]] = {}
    columns = counted.columns
    for place, job in enumerate(columns["job"]):
        sums = found.setdefault((counted.jobs[job], columns["partition_id"][place]), dict.fromkeys(_SUMMED, 0))
        for name in sums:
            sums[name] += columns[name][place]
    return found


def counted_copies(archive: ArchiveDatabase, at: EventsAt, counted: JobLedger) -> dict[str, int]:
    """Copies that a job which drops copies counted all the same: they came beyond its horizon."""
    rows = query_minutes(archive, at, "counted_copies", {"job_minutes": numbers(counted.columns)})
    return {counted.jobs[row["job"]]: row["copies"] for row in rows if row["copies"]}


def _unlike_minutes(archive: ArchiveDatabase, at: EventsAt, counted: JobLedger, low: Mapping[str, Cut]) -> list[Unlike]:
    jobs: list[str] = [*counted.jobs, *(job for job in low if job not in counted.jobs)]
    sure = [
        (number, partition, low.get(job, {}).get(partition, 0))
        for number, job in enumerate(jobs)
        for partition in at.cut
    ]
    columns = ("job", "partition_id", "low")
    job_low = numbers({name: [row[place] for row in sure] for place, name in enumerate(columns)})
    given = {"job_minutes": numbers(counted.columns), "job_low": job_low}
    suspects = query_minutes(archive, at, "unlike_minutes", given)
    if not suspects:
        return []
    ids = {"id": range(len(suspects))} | {
        name: [row[name] for row in suspects] for name in ("partition_id", "minute", "upto")
    }
    first, last = min(row["minute"] for row in suspects), max(row["minute"] for row in suspects) + 60_000
    rows = archive.query(at, statement("ledger/held_by_archive"), {"suspects": numbers(ids)}, first=first, last=last)
    held = {row["id"]: row for row in rows}
    nothing: Row = dict.fromkeys(("records", "accepted", "erased", "offset_sum", "offset_square_sum"), 0)
    nothing |= dict.fromkeys(("first_offset", "last_offset"))
    pairs = [
        Unlike(jobs[int(row["job"])], row["partition_id"], row["minute"], row["upto"], row, held.get(number, nothing))
        for number, row in enumerate(suspects)
    ]
    return [one for one in pairs if not one.alike or one.impossible]


def _that_the_archive_can_judge(unlike: Sequence[Unlike], faults: Sequence[LedgerFault]) -> list[Unlike]:
    """Without minutes in which the job has more than the archive for want of what the archive itself lacks.

    Which of the lost records a job's reader yielded is not known, so it is enough that they are as many.
    """
    kept: list[Unlike] = []
    for job, partition in dict.fromkeys((one.job, one.partition) for one in unlike):
        here = [one for one in unlike if (one.job, one.partition) == (job, partition)]
        broken = [one for one in faults if one.partition == partition]
        lost = sum(one.records for one in broken if one.kind is FaultKind.HOLE)
        if -sum(min(one.missing, 0) for one in here) <= lost:
            here = [one for one in here if one.missing >= 0]
        twice = [one for one in broken if one.kind is FaultKind.OVERLAP]
        kept += [one for one in here if not any(_touches(one, fault) for fault in twice)]
    return kept


def _touches(one: Unlike, fault: LedgerFault) -> bool:
    first, last = one.span
    return first <= fault.last_offset and last >= fault.first_offset


def _fault(archive: ArchiveDatabase, at: EventsAt, one: Unlike, *, search: bool) -> LedgerFault:
    if one.missing > 0 and one.counted["records"] == 0:
        run = (one.held["first_offset"], one.held["last_offset"])
    else:
        run = _run(archive, at, one) if search and one.missing else None
    if run is None:
        first, last = one.span
        return LedgerFault(
            FaultKind.UNLIKE, one.job, one.partition, first, last, abs(one.missing), _unlike(one, first, last)
        )
    kind = FaultKind.MISSING if one.missing > 0 else FaultKind.TWICE
    return LedgerFault(kind, one.job, one.partition, *run, abs(one.missing), "")


def _run(archive: ArchiveDatabase, at: EventsAt, one: Unlike) -> tuple[int, int] | None:
    """The one run of record positions that makes the difference; None: there is none, or more than one would."""
    sign = 1 if one.missing > 0 else -1
    found = archive.query(
        at,
        statement("ledger/run_of_offsets"),
        partition_id=one.partition,
        from_time=one.from_time,
        to_time=one.to_time,
        upto=one.upto,
        records=abs(one.missing),
        offset_sum=sign * one.sums[0],
        offset_square_sum=sign * one.sums[1],
    )
    return (found[0]["first_offset"], found[0]["last_offset"]) if len(found) == 1 else None


def _joined(archive: ArchiveDatabase, at: EventsAt, faults: Sequence[LedgerFault]) -> list[LedgerFault]:
    """Runs of neighbouring minutes as one, where everything between them is in them too.

    The minutes' runs reach into each other where Kafka's times are not in the order of the offsets.
    """
    found: list[LedgerFault] = []
    for one in sorted(faults, key=lambda one: (one.where, one.partition, one.kind, one.first_offset)):
        before = found[-1] if found else None
        if before is None or one.kind in _ALREADY_TOLD or not _same_story(before, one):
            found.append(one)
        elif one.first_offset <= before.last_offset + 1:
            found[-1] = _both(before, one)
        else:
            # What lies between may be no record, or none that a job sees.
            between = {"first": before.last_offset + 1, "last": one.first_offset - 1}
            if len(faults) <= MAX_SEARCHES and not _rows_between(archive, at, one.partition, between):
                found[-1] = _both(before, one)
            else:
                found.append(one)
    return [
        one if one.kind in _ALREADY_TOLD else _told(archive, at, one, look=number < MAX_SEARCHES)
        for number, one in enumerate(found)
    ]


def _same_story(one: LedgerFault, other: LedgerFault) -> bool:
    return (one.where, one.partition, one.kind) == (other.where, other.partition, other.kind)


def _both(one: LedgerFault, other: LedgerFault) -> LedgerFault:
    last = max(one.last_offset, other.last_offset)
    return replace(one, last_offset=last, records=one.records + other.records)


def _told(archive: ArchiveDatabase, at: EventsAt, fault: LedgerFault, *, look: bool) -> LedgerFault:
    """With its sentence, which says so where not every record between the two offsets is wrong."""
    bounds = {"first": fault.first_offset, "last": fault.last_offset}
    return _named(fault, _rows_between(archive, at, fault.partition, bounds) if look else fault.records)


def _rows_between(archive: ArchiveDatabase, at: EventsAt, partition: int, bounds: Mapping[str, int]) -> int:
    rows = archive.query(at, statement("ledger/yielded_between"), partition_id=partition, **bounds)
    return int(rows[0]["records"])


def _named(fault: LedgerFault, inside: int) -> LedgerFault:
    where = f"p{fault.partition}@{fault.first_offset}..{fault.last_offset}"
    what = f"{fault.records}" if inside == fault.records else f"{fault.records} of the {inside}"
    if fault.kind is FaultKind.MISSING:
        sentence = f"{fault.where} never counted {where}: {what} records that the archive holds"
    else:
        sentence = f"{fault.where} counted {where} twice: {what} records more than the archive holds"
    return replace(fault, sentence=sentence)


def _unlike(one: Unlike, first: int, last: int) -> str:
    at = f"{one.when} (p{one.partition}@{first}..{last})"
    if not one.missing and not any(one.sums):
        counted = one.counted["accepted"] + one.counted["duplicate"]
        return f"{one.job} accepted {counted} records of {at}, the archive {one.held['accepted']}"
    return (
        f"{one.job} counted {one.counted['records']} records of {at}, the archive holds {one.held['records']}, and no "
        "single run of offsets tells them apart"
    )

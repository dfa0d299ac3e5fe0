"""Rows of `job_ledger` that somebody else changed or deleted, and what they must have told.

A job writes each number twice: into the row of a minute and into the row of the whole partition. Where the row of the
whole partition tells just what the archive holds, the job has counted every record: a row of a minute that tells
something else is not the job's. The job writes a row again only when a record of that minute comes, so an old one stays
wrong until it is repaired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.ledger.unlike import Unlike, beside_the_archive
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerFault
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.observe.job_ledger import COUNTS
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import WHOLE_PARTITION, job_ledger

Told = Mapping[tuple[str, int], Mapping[str, int]]
"""By job and partition the sums over the rows of its minutes."""


def edited_minutes(
    archive: ArchiveDatabase,
    at: EventsAt,
    *,
    totals: Mapping[tuple[str, int], Row],
    told: Told,
    low: Mapping[str, Cut],
    unlike: Sequence[Unlike],
) -> dict[tuple[str, int, int], LedgerFault]:
    """By job, partition and minute the rows that are not the job's.

    Args:
        archive: over the topic.
        at: the cut up to which the archive is asked.
        totals: the jobs' rows of whole partitions.
        told: what the rows of the minutes add up to.
        low: by job, the cut that its rows surely contain.
        unlike: minutes of which job and archive tell otherwise.
    """
    by_partition: dict[tuple[str, int], list[Unlike]] = defaultdict(list)
    for one in unlike:
        by_partition[one.job, one.partition].append(one)
    found: dict[tuple[str, int, int], LedgerFault] = {}
    for (job, partition), here in by_partition.items():
        total = totals.get((job, partition))
        read = low.get(job, {}).get(partition, 0)
        whole = None if total is None else beside_the_archive(archive, at, job, partition, total, read=read)
        if whole is not None and whole.alike and not whole.impossible:
            settled = [one for one in here if one.held["last_offset"] is None or one.held["last_offset"] < read]
            rights = (
                _rights(settled, whole.counted, told.get((job, partition), {})) if len(settled) == len(here) else {}
            )
            for one in here:
                found[job, partition, one.minute] = _fault(one, rights.get(one.minute))
        else:
            for one in here:
                if one.impossible:
                    found[job, partition, one.minute] = _fault(one, None)
    return found


def edited_total(one: Unlike) -> LedgerFault:
    """The fault of a row of a whole partition that no job can have written."""
    return _fault(one, None)


def _fault(one: Unlike, right: Row | None) -> LedgerFault:
    first, last = one.span
    what = f"tells {one.counted['records']} records" if one.has_row else "is gone"
    if one.minute == WHOLE_PARTITION:
        remedy = "the job writes it anew with its next record of the partition"
    elif right is not None:
        remedy = "`gamestream repair --yes` writes it anew"
    else:
        remedy = "what the job counted of it can no longer be told; `gamestream jobs apply {job} --replay` counts anew"
    sentence = (
        f"job_ledger's row of {one.job} p{one.partition} for {one.when} {what}, the archive holds "
        f"{one.held['records']}, and the job's other rows bear the archive out: another hand changed it; "
        + remedy.format(job=one.job)
    )
    if one.impossible and right is None:
        sentence = (
            f"job_ledger's row of {one.job} p{one.partition} for {one.when} {what}, {one.counted['accepted']} of them "
            f"accepted and {one.counted['duplicate']} dropped, which no job can have counted: another hand changed it; "
            + remedy.format(job=one.job)
        )
    shown = {name: one.counted[name] for name in COUNTS} if one.has_row else None
    return LedgerFault(
        FaultKind.EDITED, one.job, one.partition, first, last, abs(one.missing), sentence, one.minute, shown, right
    )


def _rights(here: Sequence[Unlike], total: Row, told: Mapping[str, int]) -> dict[int, Row]:
    """By minute the row that the job must have written: the archive's records, and the copies that the total leaves."""
    duplicate = total["duplicate"] - told.get("duplicate", 0) + sum(one.counted["duplicate"] for one in here)
    held = [one for one in here if one.held["last_offset"] is not None]
    if len(held) != len(here) or not here:
        return {one.minute: {} for one in here if one.held["last_offset"] is None} if not held else {}
    if len(here) > 1 and duplicate:
        return {}  # in which of the minutes the copies were cannot be told
    rights: dict[int, Row] = {}
    for one in here:
        right = {
            name: one.held[name]
            for name in ("records", "offset_sum", "offset_square_sum", "first_offset", "last_offset")
        }
        right |= {"duplicate": duplicate, "accepted": one.held["accepted"] - duplicate}
        if right["accepted"] < 0 or duplicate < 0:
            return {}
        rights[one.minute] = right
    return rights


def repairable(faults: Sequence[LedgerFault]) -> list[LedgerFault]:
    """The faults whose right row is known."""
    return [one for one in faults if one.kind is FaultKind.EDITED and one.right is not None]


def counter_lines(faults: Sequence[LedgerFault], mended: Sequence[bool]) -> list[str]:
    """What `gamestream repair` tells of the counter's rows; `mended` is empty before anything is done."""
    states = ["DONE" if done else "MOVED_ON" for done in mended] or ["planned"] * len(faults)
    return [
        f"{'UPSERT' if one.right else 'DELETE'} job_ledger {one.where} {one.topic} p{one.partition} "
        f"minute {one.minute}  "
        f"EDITED_BY_HAND  -> {one.right or 'nothing'}  {state}"
        for one, state in zip(faults, states, strict=True)
    ]


def repair_counters(settings: Settings, faults: Sequence[LedgerFault]) -> list[bool]:
    """Repair the rows of some faults; by fault whether it was done (see `repair_counter`)."""
    if not faults:
        return []
    with open_engine(settings) as engine:
        return [repair_counter(engine, one) for one in faults]


def repair_counter(engine: Engine, fault: LedgerFault) -> bool:
    """Write the row that the job must have written, or delete one that it never wrote.

    Returns:
        Whether it was done; False: the row is no longer the one that was looked at.
    """
    if fault.right is None or fault.minute is None:
        return False
    where = {"job": fault.where, "topic": fault.topic}
    key = {**where, "partition_id": fault.partition, "minute_millis": fault.minute}
    same = [job_ledger.c[name] == value for name, value in key.items()]
    with engine.begin() as database:
        row: Any = database.execute(select(job_ledger).where(*same).with_for_update()).mappings().one_or_none()
        shown = None if row is None else {name: int(row[name] or 0) for name in COUNTS}
        if shown != fault.shown:
            return False
        if not fault.right:
            return bool(database.execute(job_ledger.delete().where(*same)).rowcount)
        # a job that does not count copies writes NULL
        values = dict(fault.right)
        if row is not None and row["duplicate"] is None and not values["duplicate"]:
            values["duplicate"] = None
        fresh = insert(job_ledger).values(key | values)
        database.execute(fresh.on_conflict_do_update(index_elements=list(key), set_=values))
    return True

"""The events of some entities that causes could be about, read from the archive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gamestream_dagster.archive.reader import texts
from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.causes.cells import Cells, read_cells
from gamestream_dagster.reconciliation.causes.hypothesis import (
    MOST_STEPS,
    Candidate,
    Hypothesis,
    conflicts,
    dead_lettered,
    duplicates,
    late,
    overflow,
)
from gamestream_dagster.reconciliation.causes.job_facts import JobFacts, OldRestore
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerFault
from gamestream_dagster.reconciliation.model.values import Cause, Entity, Row
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement

MOST_CANDIDATES = 50_000
"""Records that are looked at for one board at most; beyond it no cause is found, and the row stays unexplained."""

_NEVER = 2**62


@dataclass(frozen=True)
class Evidence:
    """Where hypotheses about the entities of one board come from."""

    archive: ArchiveDatabase
    at: EventsAt
    """The bracket of the board."""
    board: Board
    groups: tuple[str, ...]
    """Columns of the finest sums of the board's job."""
    as_of: int | None
    facts: JobFacts
    faults: Sequence[LedgerFault]
    counted: JobLedger
    """What the jobs counted by themselves: without it no copy and no refused record is supposed."""

    def families(self, entities: Sequence[Entity]) -> dict[Entity, dict[Cause, list[Hypothesis]]]:
        """By entity and cause the guesses to try; causes without any event are left out."""
        found: dict[Entity, dict[Cause, list[Hypothesis]]] = {entity: {} for entity in entities}
        by_entity = self._candidates(entities)
        cells = self._cells(by_entity.values())
        delay = None if self.board.window is None else self.board.window.delay_seconds * 1000
        for entity, candidates in by_entity.items():
            families = found[entity]
            families[Cause.DUPLICATE] = duplicates(candidates, cells, delay)
            families[Cause.DUP_CONFLICT] = conflicts(candidates, cells)
            families[Cause.DEAD_LETTERED] = dead_lettered(candidates, cells)
            if delay is not None:
                families[Cause.LATE] = late(candidates, delay)
        for cause, by_entity in (*self._lost(entities), *self._expired(entities)):
            for entity, hypotheses in by_entity.items():
                found[entity].setdefault(cause, []).extend(hypotheses)
        if self.board.window is None:
            for families in found.values():
                families[Cause.OVERFLOW] = overflow()
        return {
            entity: {cause: families[cause] for cause in Cause if families.get(cause)}
            for entity, families in found.items()
        }

    def late_for_the_window(self) -> dict[Entity, Hypothesis]:
        """By entity, whoever it is: without any event that came too late for the window."""
        window = self.board.window
        if window is None or self.as_of is None:
            return {}
        sql = statement("causes/late_in_window", over=self.board.entity)
        rows = self.archive.query(self.at, sql, most=MOST_CANDIDATES, **self._bounds())
        if len(rows) == MOST_CANDIDATES:
            return {}
        found = self._by_entity(rows)
        return {
            entity: late([_candidate(row) for row in mine], window.delay_seconds * 1000)[-1]
            for entity, mine in found.items()
        }

    def _bounds(self) -> dict[str, int]:
        window = self.board.window
        if window is None or self.as_of is None:
            return {"delay": _NEVER, "from_time": -_NEVER, "to_time": _NEVER}
        from_time = self.as_of - window.length_seconds * 1000
        return {"delay": window.delay_seconds * 1000, "from_time": from_time, "to_time": self.as_of}

    def _candidates(self, entities: Sequence[Entity]) -> dict[Entity, list[Candidate]]:
        return self._read(entities, statement("causes/candidates", over=self.board.entity), **self._bounds())

    def _cells(self, candidates: Iterable[Sequence[Candidate]]) -> Cells:
        """What the job counted of the minutes in which the candidates lie."""
        wanted = {one.place for mine in candidates for one in mine}
        if not wanted:
            return Cells()
        return read_cells(self.archive, self.at, self.board.job, self.counted, wanted=wanted, faults=self.faults)

    def _lost(self, entities: Sequence[Entity]) -> list[tuple[Cause, dict[Entity, list[Hypothesis]]]]:
        """Runs of offsets that the job's own counter lacks, or has twice: all that touch the entity, by cause."""
        runs = [fault for fault in self.faults if fault.where == self.board.job and fault.kind in _RUNS]
        found: list[tuple[Cause, dict[Entity, list[Hypothesis]]]] = []
        sql = statement("causes/in_range", over=self.board.entity)
        lost: dict[Entity, list[Hypothesis]] = defaultdict(list)
        cause = Cause.MISSING_EVENTS
        for run in runs[:MOST_STEPS]:
            span = {"partition": run.partition, "first_offset": run.first_offset, "last_offset": run.last_offset}
            restore: OldRestore | None = None
            for entity, events in self._read(entities, sql, **span).items():
                restore = restore or self._old_restore(events)
                cause = _cause_of(run, restore)
                facts: dict[str, Any] = {"run": span, "ledger": run.sentence}
                if restore is not None and cause is Cause.RESTORED_FROM_OLD_STATE:
                    facts |= {"generation": restore.generation, "restored": restore.restored, "newer": restore.newer}
                missing = run.kind is FaultKind.MISSING
                members = tuple(events)
                lost[entity].append(
                    Hypothesis((cause,), members if missing else (), () if missing else members, facts=facts)
                )
        for entity, single in lost.items():
            by_cause: dict[Cause, list[Hypothesis]] = defaultdict(list)
            for one in single:
                by_cause[one.causes[0]].append(one)
            for cause, members in by_cause.items():
                whole = members[0]
                for one in members[1:]:
                    whole = whole.joined(one)
                found.append((cause, {entity: [whole]}))
        return found

    def _old_restore(self, events: Sequence[Candidate]) -> OldRestore | None:
        """The restore from an old state before which these events had come."""
        newest = max(event.kafka_timestamp for event in events)
        later = [one for one in self.facts.old_restores if one.submitted_at.timestamp() * 1000 > newest]
        return later[0] if later else None

    def _expired(self, entities: Sequence[Entity]) -> list[tuple[Cause, dict[Entity, list[Hypothesis]]]]:
        """Events before an idle gap, where the job's state has a time to live; half of it, for timers and clocks."""
        if not self.facts.ttls_millis or self.board.window is not None:
            return []
        least = min(self.facts.ttls_millis) // 2
        sql = statement("causes/before_gap", over=self.board.entity, groups=self.groups)
        found: dict[Entity, list[Hypothesis]] = {}
        facts = {"time_to_live_ms": list(self.facts.ttls_millis)}
        for entity, rows in self._rows(entities, sql, least=least).items():
            gaps = sorted({row["longest_gap"] for row in rows})[-MOST_STEPS:]
            found[entity] = [
                Hypothesis(
                    (Cause.STATE_EXPIRED,),
                    tuple(_candidate(row) for row in rows if row["longest_gap"] >= gap),
                    facts=facts | {"idle_for_at_least_ms": gap},
                )
                for gap in gaps
            ]
        return [(Cause.STATE_EXPIRED, found)]

    def _read(self, entities: Sequence[Entity], sql: str, **values: int) -> dict[Entity, list[Candidate]]:
        rows = self._rows(entities, sql, **values)
        return {entity: [_candidate(row) for row in mine] for entity, mine in rows.items()}

    def _rows(self, entities: Sequence[Entity], sql: str, **values: int) -> Mapping[Entity, list[Row]]:
        given = {"keys": texts(self.board.entity, entities)}
        rows = self.archive.query(self.at, sql, given, most=MOST_CANDIDATES, **values)
        return self._by_entity(rows) if len(rows) < MOST_CANDIDATES else {}

    def _by_entity(self, rows: Sequence[Row]) -> dict[Entity, list[Row]]:
        found: dict[Entity, list[Row]] = defaultdict(list)
        for row in rows:
            found[tuple(str(row[name]) for name in self.board.entity)].append(row)
        return found


_RUNS = frozenset({FaultKind.MISSING, FaultKind.TWICE})


def _cause_of(run: LedgerFault, restore: OldRestore | None) -> Cause:
    if restore is not None:
        return Cause.RESTORED_FROM_OLD_STATE
    return Cause.MISSING_EVENTS if run.kind is FaultKind.MISSING else Cause.DUPLICATE


def _candidate(row: Row) -> Candidate:
    return Candidate(
        position=(row["partition"], row["offset"], row["item"]),
        kafka_timestamp=row["kafka_timestamp"],
        event_time_millis=row["event_time_millis"],
        score=row["score"],
        event_id=row["event_id"],
        reason=row["reason"],
        remark=row["remark"],
        copy=bool(row["copy"]),
        since_previous=row["since_previous"],
        late_by=row["late_by"],
        conflict=bool(row.get("conflict")),
        first=(row["first_partition"], row["first_offset"], row["first_item"]) if row.get("copy") else None,
        counts_here=bool(row.get("counts_here", True)),
    )

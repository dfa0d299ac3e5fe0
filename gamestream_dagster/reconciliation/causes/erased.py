"""Rows that differ exactly by the records of erased players: proven by a recompute that counts these records.

Two things must hold. The job's own count of each minute says that it accepted the records: as many more than the
archive as were emptied there. And with these records, and nothing else, the recompute gives the row in every column and
at its rank. A row that differs by anything beyond that is not explained here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.events.suppression import Suppression, hash_of
from gamestream_dagster.reconciliation.causes.cells import place_of, read_cells
from gamestream_dagster.reconciliation.causes.policy import NAMES_ERASED
from gamestream_dagster.reconciliation.compare.bracket import compare_bracket
from gamestream_dagster.reconciliation.compare.equal import compare_equal
from gamestream_dagster.reconciliation.compare.findings import entity_of
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.proof import LedgerFault
from gamestream_dagster.reconciliation.model.values import Cause, Difference, DifferenceKind, Entity, Row, Sink
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import Counterfactual, EventsAt
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.statements import statement

MOST_RECORDS: Final = 1_000_000
"""Erased records that are supposed at most; beyond it their rows stay unexplained."""
EVENTS_SHOWN: Final = 20
IN_STATE: Final = "erased_in_state"
"""Name in the evidence of how many erased records the job has counted."""


@dataclass
class ErasedRecords:
    """The erased records of a topic, as far as their counts are kept.

    Args:
        archive: with these counts (`open_with_erased`).
        counted: what the jobs counted by themselves.
        faults: of the ledger.
        suppression: the erased players.
        topic: name.
    """

    archive: ArchiveDatabase
    counted: JobLedger
    faults: Sequence[LedgerFault]
    suppression: Suppression
    topic: str
    _known: dict[tuple[str, str], list[Row]] = field(default_factory=dict[tuple[str, str], "list[Row]"])

    def counted_by(self, at: EventsAt, board: Board) -> list[Row]:
        """The records that the job of a board has counted by its own count, copies left out."""
        key = board.job, board.name
        if key not in self._known:
            self._known[key] = self._borne_out(at, board)
        return self._known[key]

    def _borne_out(self, at: EventsAt, board: Board) -> list[Row]:
        """Of each minute as many as the job accepted beyond the archive, the first ones: later it leaves them out."""
        ids = self.archive.source.id_key or ("event_id",)
        whole = replace(at, season=None, since=None)
        sql = statement("causes/erased", over=board.entity, ids=ids)
        rows = self.archive.query(whole, sql, most=MOST_RECORDS)
        if len(rows) == MOST_RECORDS:
            return []
        minutes: dict[tuple[int, int], list[Row]] = defaultdict(list)
        for row in rows:
            minutes[place_of(_position(row), row["kafka_timestamp"])].append(row)
        cells = read_cells(self.archive, whole, board.job, self.counted, wanted=list(minutes), faults=self.faults).known
        found: list[Row] = []
        for place, mine in minutes.items():
            cell = cells.get(place)
            if cell is not None and cell.refused_counted > 0:
                settled = [row for row in mine if row["offset"] < cell.upto]
                found += settled[: cell.refused_counted]
        with_ids = self.archive.source.event_ids
        return [row for row in found if not (with_ids and row["copy"])]


@dataclass(frozen=True)
class ErasedSide:
    """Explains the differences of one board in one sink that erased records account for."""

    records: ErasedRecords
    at: EventsAt
    """The bracket of the board."""
    board: Board
    job_boards: Sequence[Board]
    since: int | None
    """Of an output whose old rows are deleted: only what Kafka took from then on must be there."""

    def explain(
        self, sink: Sink, rows: Sequence[Row], as_of: int | None, differences: Sequence[Difference]
    ) -> list[Difference]:
        """The differences, those with the cause `ERASED` that go away when the erased records count."""
        counted = self.records.counted_by(self.at, self.board)
        if not counted:
            return list(differences)
        left = self._left(sink, rows, as_of, counted)
        ghosts = {str(row["subject"]) for row in counted}
        wrong = [one for one in left if not (one.kind is DifferenceKind.MISSING and ghosts & set(one.entity or ()))]
        ranks = {one.rank for one in wrong if one.rank is not None}
        entities = {one.entity for one in wrong if one.entity is not None}
        everywhere = any(one.rank is None and one.entity is None for one in wrong)
        told: list[Difference] = []
        for one in differences:
            still = everywhere or one.rank in ranks or one.entity in entities
            if still or one.kind is DifferenceKind.STALE or not one.unexplained:
                told.append(one)
            else:
                told.append(replace(one, alternatives=((Cause.ERASED,),), evidence=self._evidence(one, counted)))
        return told

    def _left(self, sink: Sink, rows: Sequence[Row], as_of: int | None, counted: Sequence[Row]) -> list[Difference]:
        """What is wrong with the board if the erased records count."""
        archive, board = self.records.archive, self.board
        at = replace(self.at, hypothesis=Counterfactual(added=tuple(_position(row) for row in counted)))
        # a blank name is what an erase leaves of the player on the boards of closed seasons
        shown = [self._without_ids(row) for row in rows if row.get("user_id") != ""]
        if board.window is not None:
            return compare_equal(board, sink, shown, board_rows(archive, at, board, as_of=as_of))
        low = at.at_low() if self.since is None else replace(at.at_low(), since=self.since)
        low_rows = board_rows(archive, low, board, rows=depth(board))
        return compare_bracket(board, sink, shown, low_rows, history_between(archive, at, self.job_boards))

    def _without_ids(self, row: Row) -> Row:
        """A row that still shows an erased player, with the hash that stands for the player in the kept counts."""
        suppression = self.records.suppression
        named = {name: text for name, text in row.items() if isinstance(text, str) and suppression(text)}
        return row | {name: hash_of(suppression.key, text) for name, text in named.items()} if named else row

    def _evidence(self, one: Difference, counted: Sequence[Row]) -> dict[str, Any]:
        mine = [row for row in counted if _entity(self.board, row) == one.entity]
        requests = {self.records.suppression.requests.get(str(row["subject"])) for row in mine or counted}
        return {
            **one.evidence,
            "events": [self._event(row) for row in mine[:EVENTS_SHOWN]],
            "events_total": len(mine),
            IN_STATE: len(counted),
            "erase_requests": sorted(number for number in requests if number is not None),
        }

    def _event(self, row: Row) -> dict[str, Any]:
        told = {name: row[name] for name in ("partition", "offset", "kafka_timestamp")}
        return {"topic": self.records.topic, **told, "reason": Cause.ERASED.value}


def _position(row: Row) -> tuple[int, int, int]:
    return int(row["partition"]), int(row["offset"]), int(row["item"])


def _entity(board: Board, row: Mapping[str, Any]) -> Entity:
    return entity_of(board, dict(row))


def named_erased(one: Difference, suppression: Suppression) -> Difference:
    """With the cause `ERASED` where the row shows a player who was erased: nothing else can explain it.

    No policy accepts such a row: the erase is not done.
    """
    streamed: Any = one.streamed
    shown: list[Any] = list(cast("dict[str, Any]", streamed).values()) if isinstance(streamed, dict) else [streamed]
    shown += one.entity if isinstance(one.entity, tuple) else (one.entity,)
    requests = [suppression.request_of(text) for text in shown if isinstance(text, str)] if suppression else []
    found = next((number for number in requests if number is not None), None)
    if found is None:
        return one
    return replace(one, alternatives=((Cause.ERASED,),), evidence={**one.evidence, NAMES_ERASED: found})

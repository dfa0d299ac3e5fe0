"""Causes for the differences of a reconciliation: the sinks as witnesses first, then suppositions about events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import season_at
from gamestream_dagster.reconciliation.causes.actions import action
from gamestream_dagster.reconciliation.causes.evidence import Evidence
from gamestream_dagster.reconciliation.causes.job_facts import JobFacts
from gamestream_dagster.reconciliation.causes.job_side import JobSide
from gamestream_dagster.reconciliation.causes.policy import Policy
from gamestream_dagster.reconciliation.causes.trial import Trial
from gamestream_dagster.reconciliation.causes.witness import Sides, past_values, testify
from gamestream_dagster.reconciliation.compare import rank_of
from gamestream_dagster.reconciliation.model import (
    BoardResult,
    Cause,
    Causes,
    Difference,
    DifferenceKind,
    LedgerFault,
    Row,
    Sink,
)
from gamestream_dagster.reconciliation.observe import Observation
from gamestream_dagster.reconciliation.open_seasons import SEASON
from gamestream_dagster.reconciliation.recompute import Recompute
from gamestream_dagster.reconciliation.sinks import newest_window
from gamestream_dagster.settings import Season

_OTHER = {Sink.POSTGRES: Sink.KAFKA, Sink.KAFKA: Sink.POSTGRES}


@dataclass(frozen=True)
class Explainer:
    """All that causes are looked for in."""

    recompute: Recompute
    boards: Mapping[str, Board]
    seen: Observation
    """The last look, in both sinks."""
    witnesses: Mapping[tuple[str, Sink], BoardResult]
    """What the comparison of that look found, in both sinks."""
    faults: Sequence[LedgerFault]
    facts: Mapping[str, JobFacts]
    policy: Policy
    topic: str
    versions: Callable[[Board, Sequence[Row]], Mapping[int, int]]
    """By rank, where the board's topic once held just this row."""
    say: Callable[[str], None] = lambda _: None
    season: Season = Season.NONE
    _known: dict[str, list[Difference]] = field(default_factory=dict[str, list[Difference]])
    """What was found for a board's rows: the other sink mostly shows the same ones."""

    def explain(self, results: Sequence[BoardResult]) -> list[BoardResult]:
        """The results, each difference with its causes, evidence, action, and whether the policy accepts it."""
        return [replace(one, differences=self._by_season(one)) if one.differences else one for one in results]

    def _by_season(self, result: BoardResult) -> tuple[Difference, ...]:
        """A board of seasons is explained one season at a time, by the events of that season."""
        if self.boards[result.board].season_column is None:
            return self._told(result)
        found: list[Difference] = []
        for start in dict.fromkeys(one.evidence.get(SEASON) for one in result.differences):
            of_it = tuple(one for one in result.differences if one.evidence.get(SEASON) == start)
            if start is None:  # of no season at all: only somebody's hand, or another version's length
                found += of_it
                continue
            with self.recompute.during(season_at(self.season, start)):
                told = self._told(replace(result, differences=of_it, as_of=start))
            found += [replace(one, evidence={**one.evidence, SEASON: start}) for one in told]
        return tuple(found)

    @property
    def _start(self) -> int | None:
        return self.recompute.season.start if self.recompute.season else None

    def _told(self, result: BoardResult) -> tuple[Difference, ...]:
        self.say(f"causes: {result.board} in {result.sink.value}")
        board = self.boards[result.board]
        behind, computed = self._sides(result)
        found = self._behind(board, result, behind) + self._computed(board, result, computed)
        judged = self.policy.judge([replace(one, action=action(one, board.job)) for one in found])
        return tuple(sorted(judged, key=lambda one: (one.rank is None, one.rank or 0, one.kind, one.column or "")))

    def _sides(self, result: BoardResult) -> tuple[list[Difference], list[Difference]]:
        """The differences that lie behind the job, because the other sink is right, and those of its own result."""
        other = self.witnesses.get((result.board, _OTHER[result.sink]))
        if other is None:
            return [], list(result.differences)
        stale = any(one.kind is DifferenceKind.STALE for one in other.differences)
        same_window = self._start is not None or other.as_of == result.as_of
        theirs = [one for one in other.differences if one.evidence.get(SEASON) == self._start]
        ranks = {one.rank for one in theirs if one.rank is not None}
        entities = {one.entity for one in theirs if one.entity is not None}
        behind: list[Difference] = []
        computed: list[Difference] = []
        for one in result.differences:
            if one.kind is DifferenceKind.STALE:
                (computed if stale else behind).append(one)
            elif not same_window or one.rank in ranks or one.entity in entities:
                computed.append(one)
            else:
                behind.append(one)
        return behind, computed

    def _rows(self, board: Board, sink: Sink) -> list[Row]:
        return newest_window(board, self.seen.boards[board.name, sink], self._start)[1]

    def _behind(self, board: Board, result: BoardResult, differences: Sequence[Difference]) -> list[Difference]:
        """What happened between the job and the sink."""
        if not differences:
            return []
        sides = self._compared(board, result.sink)
        found: list[Difference] = []
        for one in differences:
            told = testify(sides, one)
            found.append(replace(one, alternatives=tuple((cause,) for cause in told.either), evidence=dict(told.facts)))
        return found

    def _compared(self, board: Board, sink: Sink) -> Sides:
        shown, right = self._rows(board, sink), self._rows(board, _OTHER[sink])
        low = self.seen.jobs[board.job].low
        return Sides(
            board,
            shown,
            right,
            self.versions(board, shown) if sink is Sink.POSTGRES else {},
            past_values(self.recompute, board, self._job_boards(board), shown, low),
        )

    def _computed(self, board: Board, result: BoardResult, differences: Sequence[Difference]) -> list[Difference]:
        """What happened in the job; where that does not explain the row, also behind it."""
        if not differences:
            return []
        told = self._in_job(board, result.sink, differences)
        if all(not one.unexplained for one in told):
            return told
        return self._both(board, result, told)

    def _both(self, board: Board, result: BoardResult, told: Sequence[Difference]) -> list[Difference]:
        """A row that no cause in the job explains, while the other sink shows another row that one does: two causes."""
        other = self.witnesses.get((board.name, _OTHER[result.sink]))
        if other is None or (self._start is None and other.as_of != result.as_of):
            return list(told)
        shown = {rank_of(board, row): row for row in self._rows(board, result.sink) if row.get(board.rank_column)}
        theirs = {rank_of(board, row): row for row in self._rows(board, other.sink) if row.get(board.rank_column)}
        in_job = {one.rank: one for one in self._in_job(board, other.sink, other.differences)}
        sides = self._compared(board, result.sink)
        found: list[Difference] = []
        for one in told:
            first = in_job.get(one.rank)
            differ = one.rank is not None and shown.get(one.rank) != theirs.get(one.rank)
            if not one.unexplained or first is None or first.unexplained:
                found.append(one)
                continue
            if not differ:  # the same row as there, for the same reason
                found.append(replace(one, alternatives=first.alternatives, evidence=first.evidence))
                continue
            second = testify(sides, one)
            alternatives = tuple(
                _together(causes, (cause,)) for causes in first.alternatives for cause in second.either
            )
            evidence = {**first.evidence, **dict(second.facts)}
            found.append(replace(one, alternatives=alternatives, evidence=evidence))
        return found

    def _in_job(self, board: Board, sink: Sink, differences: Sequence[Difference]) -> list[Difference]:
        """What happened in the job; asked once for the same rows with the same differences."""
        alike = [replace(one, sink=Sink.POSTGRES) for one in differences]
        key = repr(
            (board.name, self._start, newest_window(board, self.seen.boards[board.name, sink], self._start), alike)
        )
        if key not in self._known:
            self._known[key] = self._job_side(board, sink).explain(differences)
        return [replace(one, sink=sink) for one in self._known[key]]

    def _job_side(self, board: Board, sink: Sink) -> JobSide:
        job_boards = self._job_boards(board)
        low, high = self.seen.jobs[board.job].low, self.seen.high_of(board.job)
        as_of, rows = newest_window(board, self.seen.boards[board.name, sink], self._start)
        groups = sorted({name for one in job_boards for column in one.columns.values() for name in column.over})
        evidence = Evidence(
            self.recompute,
            board,
            tuple(groups) or board.entity,
            low,
            high,
            as_of,
            self.facts.get(board.job, JobFacts(board.job)),
            self.faults,
            self.seen.counted,
        )
        trial = Trial(self.recompute, board, job_boards, sink, rows, low, high, as_of)
        return JobSide(trial, evidence, self.topic)

    def _job_boards(self, board: Board) -> list[Board]:
        return [one for one in self.boards.values() if one.job == board.job]


def _together(first: Causes, second: Causes) -> Causes:
    return tuple(cause for cause in Cause if cause in {*first, *second})

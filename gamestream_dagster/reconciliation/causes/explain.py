"""Causes for the differences of a reconciliation: the sinks as witnesses first, then hypotheses about events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import season_at
from gamestream_dagster.reconciliation.causes.actions import action
from gamestream_dagster.reconciliation.causes.earlier_prefix import PrefixSearch
from gamestream_dagster.reconciliation.causes.evidence import Evidence
from gamestream_dagster.reconciliation.causes.job_facts import JobFacts
from gamestream_dagster.reconciliation.causes.job_side import JobSide
from gamestream_dagster.reconciliation.causes.policy import Policy
from gamestream_dagster.reconciliation.causes.topic_history import TopicHistory
from gamestream_dagster.reconciliation.causes.trial import Trial
from gamestream_dagster.reconciliation.causes.witness import (
    OTHER_IS_WRONG,
    Sides,
    Testimony,
    testify_kafka,
    testify_postgres,
    testify_standstill,
)
from gamestream_dagster.reconciliation.compare.clocks import named_by_clock
from gamestream_dagster.reconciliation.compare.open_seasons import SEASON
from gamestream_dagster.reconciliation.compare.rows import entity_of, fault_of
from gamestream_dagster.reconciliation.model.values import (
    BoardResult,
    Cause,
    Causes,
    Difference,
    DifferenceKind,
    LedgerFault,
    Row,
    Sink,
)
from gamestream_dagster.reconciliation.observe.board_topic import Key
from gamestream_dagster.reconciliation.observe.boards import Observation
from gamestream_dagster.reconciliation.observe.sinks import by_key, newest_window
from gamestream_dagster.reconciliation.recompute.recompute import Recompute
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
    history: Callable[[Board, Mapping[Key, Row]], TopicHistory]
    """What the board's topic has held, and when it held the rows given."""
    say: Callable[[str], None] = lambda _: None
    season: Season = Season.NONE
    _known: dict[str, list[Difference]] = field(default_factory=dict[str, list[Difference]])
    """What was found for a board's rows: the other sink mostly shows the same ones."""
    _compared: dict[str, Sides] = field(default_factory=dict[str, Sides])
    """By board; the topic is read once."""

    def explain(self, results: Sequence[BoardResult]) -> list[BoardResult]:
        """The results, each difference with its causes, evidence, action, and whether the policy accepts it."""
        return [one.with_differences(self._by_season(one)) if one.differences else one for one in results]

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
        alarms = [one for one in result.differences if not one.unexplained]  # they say themselves what they are
        open_ones = tuple(one for one in result.differences if one.unexplained)
        behind, computed = self._sides(board, replace(result, differences=open_ones))
        # why a job shows no newer window is in no event
        alarms += [one for one in computed if one.kind is DifferenceKind.STALE]
        computed = [one for one in computed if one.kind is not DifferenceKind.STALE]
        found = alarms + self._behind(board, result, behind) + self._computed(board, result, computed)
        found = named_by_clock(self.recompute, board, self.seen.high_of(board.job), result.as_of, found)
        judged = self.policy.judge([replace(one, action=action(one, board.job)) for one in found])
        return tuple(sorted(judged, key=lambda one: (one.rank is None, one.rank or 0, one.kind, one.column or "")))

    def _sides(self, board: Board, result: BoardResult) -> tuple[list[Difference], list[Difference]]:
        """The differences that lie behind the job, because the other sink is right, and those of its own result."""
        other = self.witnesses.get((result.board, _OTHER[result.sink]))
        if other is None:
            return [], list(result.differences)
        stale = any(one.kind is DifferenceKind.STALE for one in other.differences)
        behind: list[Difference] = []
        computed: list[Difference] = []
        for one in result.differences:
            if one.kind is DifferenceKind.STALE:
                (computed if stale else behind).append(one)
            elif self._foreign(board, result, one) or not self._theirs_too(other, one):
                behind.append(one)
            else:
                computed.append(one)
        return behind, computed

    def _theirs_too(self, other: BoardResult, difference: Difference) -> bool:
        """Whether the other sink is wrong about the same rank or entity."""
        theirs = [one for one in other.differences if one.evidence.get(SEASON) == self._start]
        return any(
            (one.rank is not None and one.rank == difference.rank)
            or (one.entity is not None and one.entity == difference.entity)
            for one in theirs
        )

    def _foreign(self, board: Board, result: BoardResult, difference: Difference) -> bool:
        """Whether the row cannot be the job's: no job writes it, or it has no key."""
        key = self._key(board, difference)
        if key is None:
            return difference.kind is DifferenceKind.EXTRA and difference.rank is None
        sides = self._both_sides(board)
        mine, other = (sides.postgres, sides.kafka) if result.sink is Sink.POSTGRES else (sides.kafka, sides.postgres)
        shown, theirs = mine.get(key), other.get(key)
        return shown is not None and fault_of(board, shown) is not None and shown != theirs

    def _key(self, board: Board, difference: Difference) -> Key | None:
        """The key of the row that a difference is about; of an absent entity the key under which it should stand."""
        start = () if board.season_column is None else (self._start,)
        if difference.rank is not None:
            return (*start, difference.rank)
        sides = self._both_sides(board)
        right = sides.kafka if difference.sink is Sink.POSTGRES else sides.postgres
        if not board.ranked:
            keys = (*sides.postgres, *sides.kafka)
            about = (key for key in keys if _place(board, key) == difference.entity and key[: len(start)] == start)
            return next(about, None)
        if difference.kind is not DifferenceKind.MISSING:
            return None
        return next(
            (key for key, row in right.items() if key[:-1] == start and entity_of(board, row) == difference.entity),
            None,
        )

    def _rows(self, board: Board, sink: Sink) -> list[Row]:
        return newest_window(board, self.seen.boards[board.name, sink], self._start)[1]

    def _both_sides(self, board: Board) -> Sides:
        """Both sinks with all their rows, and the history of the topic; read once."""
        if board.name not in self._compared:
            postgres = by_key(board, self.seen.boards.get((board.name, Sink.POSTGRES), ()))
            kafka = by_key(board, self.seen.boards.get((board.name, Sink.KAFKA), ()))
            search = PrefixSearch(self.recompute, board, self._job_boards(board), self.seen.high_of(board.job))
            self._compared[board.name] = Sides(board, postgres, kafka, self.history(board, postgres), search.gives)
        return self._compared[board.name]

    def _behind(self, board: Board, result: BoardResult, differences: Sequence[Difference]) -> list[Difference]:
        """What happened between the job and the sink."""
        if not differences:
            return []
        sides = self._both_sides(board)
        other = self.witnesses.get((result.board, _OTHER[result.sink]))
        found: list[Difference] = []
        told: set[Key] = set()
        for one in differences:
            key = self._key(board, one)
            if one.kind is not DifferenceKind.STALE and self._only_moved(sides, key):
                continue  # the row is right: another one that is wrong made it look so
            if key is None and one.kind is DifferenceKind.MISSING:
                continue  # nor does the sink that is right have a row of it: it only fits beside the wrong ones
            testimony = self._testimony(sides, result.sink, one, key)
            if other is not None and self._theirs_too(other, one):
                testimony = replace(testimony, facts={**testimony.facts, OTHER_IS_WRONG: True})
            told |= set() if key is None else {key}
            # An absent entity belongs at the rank that the other sink gives it.
            found.append(_with(replace(one, rank=key[-1]) if key and board.ranked else one, testimony))
        if found and result.sink is Sink.POSTGRES:
            found += self._also_behind(board, told)
        return found if found else [_with(one, Testimony(())) for one in differences]

    def _only_moved(self, sides: Sides, key: Key | None) -> bool:
        """Whether both sinks hold the same row under the key."""
        return key is not None and sides.postgres.get(key) == sides.kafka.get(key)

    def _testimony(self, sides: Sides, sink: Sink, difference: Difference, key: Key | None) -> Testimony:
        if difference.kind is DifferenceKind.STALE:
            if sink is Sink.POSTGRES:
                return testify_standstill(sides)
            return Testimony((Cause.SINK_LAG, Cause.EDITED_BY_HAND), {"why": "Postgres shows a later window"})
        if key is None:
            why = "the record's key names no row of the board" if sink is Sink.KAFKA else "the row has no rank"
            return Testimony((Cause.EDITED_BY_HAND,), {"why": why})
        return testify_postgres(sides, key) if sink is Sink.POSTGRES else testify_kafka(sides, key)

    def _also_behind(self, board: Board, told: set[Key]) -> list[Difference]:
        """Rows of Postgres that are older than the topic's though no cut forbids them: a shifted row is one of them."""
        sides, flagged = self._both_sides(board), self.witnesses.get((board.name, Sink.KAFKA))
        start = () if board.season_column is None else (self._start,)
        flagged_here = flagged.differences if flagged else ()
        wrong = {one.rank if board.ranked else one.entity for one in flagged_here}
        visible = {id(row) for row in self._rows(board, Sink.POSTGRES)} | {
            id(row) for row in self._rows(board, Sink.KAFKA)
        }
        found: list[Difference] = []
        for key in sorted(sides.postgres.keys() | sides.kafka.keys()):
            shown, right = sides.postgres.get(key), sides.kafka.get(key)
            if key in told or key[: len(start)] != start or _place(board, key) in wrong or shown == right:
                continue
            if not visible & {id(shown), id(right)}:
                continue  # of a window that nobody sees any more
            testimony = testify_postgres(sides, key)
            if testimony.either:
                found.append(_with(_unlike(board, key, shown, right), testimony))
        return found

    def _computed(self, board: Board, result: BoardResult, differences: Sequence[Difference]) -> list[Difference]:
        """What happened in the job; where that does not explain the row, also behind it."""
        if not differences:
            return []
        told = self._in_job(board, result.sink, differences)
        other = self.witnesses.get((board.name, _OTHER[result.sink]))
        if other is None or not other.differences:
            return told
        return self._both(board, result, told, other)

    def _both(
        self, board: Board, result: BoardResult, told: Sequence[Difference], other: BoardResult
    ) -> list[Difference]:
        """Rows that the job has wrong, while this sink shows yet another row: two causes, each with its evidence."""
        sides, ahead = self._both_sides(board), self._may_be_ahead(board)
        in_job: list[Difference] | None = None
        found: list[Difference] = []
        for one in told:
            key = self._key(board, one)
            behind = None
            if key is not None and not self._only_moved(sides, key):
                behind = self._testimony(sides, result.sink, one, key)
            # What is explained stays so, unless the row cannot be the job's: the explanation then fits by chance.
            if not one.unexplained and (behind is None or not behind.either or ahead or result.sink is Sink.KAFKA):
                found.append(one)
                continue
            if in_job is None:
                in_job = self._in_job(board, other.sink, other.differences)
            there = _same_row(in_job, one, ranked=board.ranked)
            # The topic held this row, and what followed it there fits no input: a foreign record is no newer version.
            kept = not one.unexplained and there is not None and there.unexplained and sides.held(key)
            found.append(one if kept else _joined(one, there, behind))
        return found

    def _may_be_ahead(self, board: Board) -> bool:
        """Whether Postgres may show what is not yet committed to the topic."""
        low, high = self.seen.jobs[board.job].low, self.seen.high_of(board.job)
        return self._windows_differ(board) or self.recompute.events_between(low, high) > 0

    def _windows_differ(self, board: Board) -> bool:
        if board.window is None:
            return False
        shown = [newest_window(board, self.seen.boards[board.name, sink])[0] for sink in _OTHER]
        return shown[0] != shown[1]

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
        as_of, shown = newest_window(board, self.seen.boards[board.name, sink], self._start)
        rows = [row for row in shown if fault_of(board, row) is None]
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


def _with(difference: Difference, testimony: Testimony) -> Difference:
    evidence = {**difference.evidence, **testimony.facts}
    return replace(difference, alternatives=tuple((cause,) for cause in testimony.either), evidence=evidence)


def _unlike(board: Board, key: Key, shown: Row | None, right: Row | None) -> Difference:
    """A row that is right by itself, where the topic holds another one."""
    kind = DifferenceKind.MISSING if shown is None else DifferenceKind.EXTRA if right is None else DifferenceKind.RANK
    about = shown if shown is not None else right
    place = "at this rank" if board.ranked else "of this key"
    return Difference(
        board=board.name,
        sink=Sink.POSTGRES,
        kind=kind,
        rank=key[-1] if board.ranked else None,
        entity=None if about is None else entity_of(board, about),
        column=board.key_columns[-1],
        streamed=None if shown is None else key[-1],
        recomputed=None,
        explanation=f"the topic holds {'no' if right is None else 'another'} row {place}",
    )


def _place(board: Board, key: Key) -> object:
    """What tells the rows of one season apart: the rank, or the entity as a difference names it."""
    return key[-1] if board.ranked else tuple(str(part) for part in key[-len(board.entity) :])


def _same_row(differences: Sequence[Difference], difference: Difference, ranked: bool) -> Difference | None:
    """The difference of the same rank in the other sink; of the same entity where rows have no ranks."""
    if not ranked:
        return next((one for one in differences if one.entity == difference.entity), None)
    return next((one for one in differences if one.rank is not None and one.rank == difference.rank), None)


def _joined(one: Difference, in_job: Difference | None, behind: Testimony | None) -> Difference:
    """A row with the cause that the other sink's row has in the job, and the one behind the job.

    Args:
        one: the difference, as the job's events alone explain it.
        in_job: the other sink's difference at the same rank.
        behind: why this sink does not show what the topic holds; None: it does.
    """
    if behind is None or not behind.either:  # the same row as there, for the same reason
        return one if in_job is None else replace(one, alternatives=in_job.alternatives, evidence=in_job.evidence)
    if in_job is None:
        return _with(one, behind)
    if in_job.unexplained:
        causes = " or ".join(behind.either)
        return replace(one, alternatives=(), evidence={**one.evidence, **behind.facts, "behind_the_job": causes})
    alternatives = tuple(_together(causes, (cause,)) for causes in in_job.alternatives for cause in behind.either)
    return replace(one, alternatives=alternatives, evidence={**in_job.evidence, **behind.facts})


def _together(first: Causes, second: Causes) -> Causes:
    return tuple(cause for cause in Cause if cause in {*first, *second})

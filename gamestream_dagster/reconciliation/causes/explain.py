"""Causes for the differences of a reconciliation: the sinks as witnesses first, then hypotheses about events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import SeasonSpan, season_at
from gamestream_dagster.events.suppression import NOBODY, Suppression
from gamestream_dagster.reconciliation.causes.actions import action
from gamestream_dagster.reconciliation.causes.earlier_prefix import PrefixSearch
from gamestream_dagster.reconciliation.causes.erased import ErasedRecords, ErasedSide, named_erased
from gamestream_dagster.reconciliation.causes.evidence import Evidence
from gamestream_dagster.reconciliation.causes.job_facts import JobFacts
from gamestream_dagster.reconciliation.causes.job_side import JobSide
from gamestream_dagster.reconciliation.causes.outcome import (
    joined,
    place_in,
    places_of,
    same_row,
    unlike_row,
    with_testimony,
)
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
from gamestream_dagster.reconciliation.compare.findings import entity_of, fault_of
from gamestream_dagster.reconciliation.compare.open_seasons import SEASON
from gamestream_dagster.reconciliation.model.proof import LedgerFault
from gamestream_dagster.reconciliation.model.values import BoardResult, Cause, Difference, DifferenceKind, Row, Sink
from gamestream_dagster.reconciliation.observe.board_topic import Key
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.observe.sinks import by_key, newest_window
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.facts import events_between
from gamestream_dagster.settings import Season

_OTHER = {Sink.POSTGRES: Sink.KAFKA, Sink.KAFKA: Sink.POSTGRES}


@dataclass(frozen=True)
class Explainer:
    """All that causes are looked for in."""

    archive: ArchiveDatabase
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
    suppression: Suppression = NOBODY
    """The erased players."""
    erased: Callable[[], ErasedRecords | None] = lambda: None
    """What is kept of their records; None: nothing."""
    _compared: dict[str, Sides] = field(default_factory=dict[str, Sides])
    """By board; the topic is read once."""
    _erased: list[ErasedRecords | None] = field(default_factory=list["ErasedRecords | None"])
    """Opened once, when a row differs."""
    _searches: dict[str, PrefixSearch] = field(default_factory=dict[str, PrefixSearch])
    """By board; all rows of a board share the time that it may take."""
    _by_season: dict[tuple[str, int | None], _BoardCauses] = field(
        default_factory=dict[tuple[str, int | None], "_BoardCauses"]
    )

    def explain(self, results: Sequence[BoardResult]) -> list[BoardResult]:
        """The results, each difference with its causes, evidence, action, and whether the policy accepts it."""
        return [one.with_differences(self._explained(one)) if one.differences else one for one in results]

    def _explained(self, result: BoardResult) -> tuple[Difference, ...]:
        """A board of seasons is explained one season at a time, by the events of that season."""
        board = self.boards[result.board]
        if board.season_column is None:
            return self._causes(board, None).told(result)
        found: list[Difference] = []
        for start in dict.fromkeys(one.evidence.get(SEASON) for one in result.differences):
            of_it = tuple(one for one in result.differences if one.evidence.get(SEASON) == start)
            if start is None:  # of no season at all: only somebody's hand, or another version's length
                found += of_it
                continue
            causes = self._causes(board, season_at(self.season, start))
            told = causes.told(replace(result, differences=of_it, as_of=start))
            found += [replace(one, evidence={**one.evidence, SEASON: start}) for one in told]
        return tuple(found)

    def _causes(self, board: Board, span: SeasonSpan | None) -> _BoardCauses:
        key = board.name, span.start if span else None
        if key not in self._by_season:
            self._by_season[key] = _BoardCauses(self, board, span)
        return self._by_season[key]

    def bracket(self, board: Board) -> EventsAt:
        """The events of a board's bracket, of all time."""
        return self.archive.at(self.seen.high_of(board.job), self.seen.jobs[board.job].low)

    def erased_side(self, board: Board, at: EventsAt) -> ErasedSide | None:
        """What erased records explain of a board; None: nobody was erased, or nothing is kept of the records."""
        if not self._erased:
            self._erased.append(self.erased() if self.suppression else None)
        records = self._erased[0]
        if records is None:
            return None
        since = None if board.retention is None else self.seen.at_millis - board.retention
        return ErasedSide(records, at, board, self.job_boards(board), since)

    def job_boards(self, board: Board) -> list[Board]:
        """The boards of the same job."""
        return [one for one in self.boards.values() if one.job == board.job]

    def sides(self, board: Board, span: SeasonSpan | None) -> Sides:
        """Both sinks with all their rows, and the history of the topic; read once."""
        if board.name not in self._compared:
            postgres = by_key(board, self.seen.boards.get((board.name, Sink.POSTGRES), ()))
            kafka = by_key(board, self.seen.boards.get((board.name, Sink.KAFKA), ()))
            search = PrefixSearch(self.archive, self.bracket(board), board, self.job_boards(board))
            self._searches[board.name] = search
            wrong = {sink: places_of(board, self.witnesses.get((board.name, sink))) for sink in _OTHER}
            places = wrong[Sink.KAFKA] - wrong[Sink.POSTGRES]
            foreign = frozenset(key for key in (*kafka, *postgres) if place_in(board, key) in places)
            history = self.history(board, postgres)
            self._compared[board.name] = Sides(board, postgres, kafka, history, search.gives, foreign)
        gives = partial(self._searches[board.name].gives, season=span)
        return replace(self._compared[board.name], earlier_prefix=gives)


@dataclass(frozen=True)
class _BoardCauses:
    """The causes for one board, or for one season of it."""

    shared: Explainer
    board: Board
    span: SeasonSpan | None
    _known: dict[str, list[Difference]] = field(default_factory=dict[str, list[Difference]])
    """What was found for the board's rows: the other sink mostly shows the same ones."""

    @property
    def at(self) -> EventsAt:
        """The events of the bracket."""
        return replace(self.shared.bracket(self.board), season=self.span)

    @property
    def _start(self) -> int | None:
        return self.span.start if self.span else None

    @property
    def _sides(self) -> Sides:
        return self.shared.sides(self.board, self.span)

    def _witness(self, sink: Sink) -> BoardResult | None:
        """What the comparison found in the other sink."""
        return self.shared.witnesses.get((self.board.name, _OTHER[sink]))

    def told(self, result: BoardResult) -> tuple[Difference, ...]:
        """The differences of one sink with their causes."""
        self.shared.say(f"causes: {result.board} in {result.sink.value}")
        board = self.board
        alarms = [one for one in result.differences if not one.unexplained]  # they say themselves what they are
        open_ones = tuple(one for one in result.differences if one.unexplained)
        behind, computed = self._divided(replace(result, differences=open_ones))
        # why a job shows no newer window is in no event
        alarms += [one for one in computed if one.kind is DifferenceKind.STALE]
        computed = [one for one in computed if one.kind is not DifferenceKind.STALE]
        found = alarms + self._behind(result, behind) + self._computed(result, computed)
        found = named_by_clock(self.shared.archive, self.at, board, result.as_of, found)
        found = [named_erased(one, self.shared.suppression) for one in found]
        judged = self.shared.policy.judge([replace(one, action=action(one, board.job)) for one in found])
        return tuple(sorted(judged, key=lambda one: (one.rank is None, one.rank or 0, one.kind, one.column or "")))

    def _divided(self, result: BoardResult) -> tuple[list[Difference], list[Difference]]:
        """The differences that lie behind the job, because the other sink is right, and those of its own result."""
        other = self._witness(result.sink)
        if other is None:
            return [], list(result.differences)
        stale = any(one.kind is DifferenceKind.STALE for one in other.differences)
        behind: list[Difference] = []
        computed: list[Difference] = []
        for one in result.differences:
            if one.kind is DifferenceKind.STALE:
                (computed if stale else behind).append(one)
            elif self._foreign(result, one) or not self._theirs_too(other, one):
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

    def _foreign(self, result: BoardResult, difference: Difference) -> bool:
        """Whether the row cannot be the job's: no job writes it, or it has no key."""
        key = self._key(difference)
        if key is None:
            return difference.kind is DifferenceKind.EXTRA and difference.rank is None
        sides = self._sides
        mine, other = (sides.postgres, sides.kafka) if result.sink is Sink.POSTGRES else (sides.kafka, sides.postgres)
        shown, theirs = mine.get(key), other.get(key)
        return shown is not None and fault_of(self.board, shown) is not None and shown != theirs

    def _key(self, difference: Difference) -> Key | None:
        """The key of the row that a difference is about; of an absent entity the key under which it should stand."""
        start = self._key_start
        if difference.rank is not None:
            return (*start, difference.rank)
        sides = self._sides
        right = sides.kafka if difference.sink is Sink.POSTGRES else sides.postgres
        if not self.board.ranked:
            keys = (*sides.postgres, *sides.kafka)
            about = (
                key for key in keys if place_in(self.board, key) == difference.entity and key[: len(start)] == start
            )
            return next(about, None)
        if difference.kind is not DifferenceKind.MISSING:
            return None
        return next(
            (
                key
                for key, row in right.items()
                if key[:-1] == start and entity_of(self.board, row) == difference.entity
            ),
            None,
        )

    @property
    def _key_start(self) -> tuple[int | None, ...]:
        """What the keys of the season's rows begin with."""
        return () if self.span is None else (self.span.start,)

    def _window(self, sink: Sink) -> tuple[int | None, list[Row]]:
        """The rows of the newest window or of the season, and its time."""
        return newest_window(self.board, self.shared.seen.boards[self.board.name, sink], self._start)

    def _behind(self, result: BoardResult, differences: Sequence[Difference]) -> list[Difference]:
        """What happened between the job and the sink."""
        if not differences:
            return []
        sides, other = self._sides, self._witness(result.sink)
        found: list[Difference] = []
        told: set[Key] = set()
        for one in differences:
            key = self._key(one)
            if one.kind is not DifferenceKind.STALE and self._only_moved(sides, key):
                continue  # the row is right: another one that is wrong made it look so
            if key is None and one.kind is DifferenceKind.MISSING:
                continue  # nor does the sink that is right have a row of it: it only fits beside the wrong ones
            testimony = self._testimony(sides, result.sink, one, key)
            if other is not None and self._theirs_too(other, one):
                testimony = replace(testimony, facts={**testimony.facts, OTHER_IS_WRONG: True})
            told |= set() if key is None else {key}
            # An absent entity belongs at the rank that the other sink gives it.
            found.append(with_testimony(replace(one, rank=key[-1]) if key and self.board.ranked else one, testimony))
        if found and result.sink is Sink.POSTGRES:
            found += self._also_behind(told)
        return found if found else [with_testimony(one, Testimony(())) for one in differences]

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

    def _also_behind(self, told: set[Key]) -> list[Difference]:
        """Rows of Postgres that are older than the topic's though no cut forbids them: a shifted row is one of them."""
        sides, wrong = self._sides, places_of(self.board, self._witness(Sink.POSTGRES))
        start = self._key_start
        visible = {id(row) for sink in _OTHER for row in self._window(sink)[1]}
        found: list[Difference] = []
        for key in sorted(sides.postgres.keys() | sides.kafka.keys()):
            shown, right = sides.postgres.get(key), sides.kafka.get(key)
            if key in told or key[: len(start)] != start or place_in(self.board, key) in wrong or shown == right:
                continue
            if not visible & {id(shown), id(right)}:
                continue  # of a window that nobody sees any more
            testimony = testify_postgres(sides, key)
            if testimony.either:
                found.append(with_testimony(unlike_row(self.board, key, shown, right), testimony))
        return found

    def _computed(self, result: BoardResult, differences: Sequence[Difference]) -> list[Difference]:
        """What happened in the job; where that does not explain the row, also behind it."""
        if not differences:
            return []
        told = self._in_job(result.sink, differences)
        other = self._witness(result.sink)
        if other is None or not other.differences:
            return told
        return self._both(result, told, other)

    def _both(self, result: BoardResult, told: Sequence[Difference], other: BoardResult) -> list[Difference]:
        """Rows that the job has wrong, while this sink shows yet another row: two causes, each with its evidence."""
        sides, ahead = self._sides, self._may_be_ahead()
        in_job: list[Difference] | None = None
        found: list[Difference] = []
        for one in told:
            key = self._key(one)
            behind = None
            if key is not None and not self._only_moved(sides, key):
                behind = self._testimony(sides, result.sink, one, key)
            # What is explained stays so, unless the row cannot be the job's: the explanation then fits by chance.
            if not one.unexplained and (behind is None or not behind.either or ahead or result.sink is Sink.KAFKA):
                found.append(one)
                continue
            if in_job is None:
                in_job = self._in_job(other.sink, other.differences)
            there = same_row(in_job, one, ranked=self.board.ranked)
            # The topic held this row, and what followed it there fits no input: a foreign record is no newer version.
            kept = not one.unexplained and there is not None and there.unexplained and sides.held(key)
            found.append(one if kept else joined(one, there, behind))
        return found

    def _may_be_ahead(self) -> bool:
        """Whether Postgres may show what is not yet committed to the topic."""
        return self._windows_differ() or events_between(self.shared.archive, self.at) > 0

    def _windows_differ(self) -> bool:
        if self.board.window is None:
            return False
        shown = [self._window(sink)[0] for sink in _OTHER]
        return shown[0] != shown[1]

    def _in_job(self, sink: Sink, differences: Sequence[Difference]) -> list[Difference]:
        """What happened in the job; asked once for the same rows with the same differences."""
        alike = [replace(one, sink=Sink.POSTGRES) for one in differences]
        key = repr((self._window(sink), alike))
        if key not in self._known:
            self._known[key] = self._explained_in_job(sink, differences)
        return [replace(one, sink=sink) for one in self._known[key]]

    def _explained_in_job(self, sink: Sink, differences: Sequence[Difference]) -> list[Difference]:
        """What erased records account for first: the job's own count bears that out. The rest by guesses."""
        side, told = self.shared.erased_side(self.board, self.at), list(differences)
        if side is not None:
            as_of, rows = self._window(sink)
            told = side.explain(sink, [row for row in rows if fault_of(self.board, row) is None], as_of, told)
        left = [one for one in told if one.unexplained]
        return [one for one in told if not one.unexplained] + (self._job_side(sink).explain(left) if left else [])

    def _job_side(self, sink: Sink) -> JobSide:
        board, job_boards = self.board, self.shared.job_boards(self.board)
        as_of, shown = self._window(sink)
        rows = [row for row in shown if fault_of(board, row) is None]
        groups = sorted({name for one in job_boards for column in one.columns.values() for name in column.over})
        facts = self.shared.facts.get(board.job, JobFacts(board.job))
        evidence = Evidence(
            self.shared.archive,
            self.at,
            board,
            tuple(groups) or board.entity,
            as_of,
            facts,
            self.shared.faults,
            self.shared.seen.counted,
        )
        trial = Trial(self.shared.archive, self.at, board, job_boards, sink, rows, as_of)
        return JobSide(trial, evidence, self.shared.topic)

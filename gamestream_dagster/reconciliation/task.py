"""The steps of a reconciliation for one topic: look, archive, recompute, compare, look again, explain, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from gamestream_dagster.archive.errors import ArchiveRewrittenError
from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.sources import Source, source_named, stack_sources
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.topic_identity import TopicId, TopicState
from gamestream_dagster.events.suppression import Suppression, load_suppression
from gamestream_dagster.reconciliation.causes.erased import ErasedRecords
from gamestream_dagster.reconciliation.causes.explain import Explainer
from gamestream_dagster.reconciliation.causes.job_facts import read_facts
from gamestream_dagster.reconciliation.causes.policy import Policy
from gamestream_dagster.reconciliation.causes.topic_history import TopicHistory, read_history
from gamestream_dagster.reconciliation.compare.examine import examine, still_there
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.ledger.balance import ARCHIVE, balance, write_ledger
from gamestream_dagster.reconciliation.ledger.copied import copy_faults
from gamestream_dagster.reconciliation.model.cut import Cut, check_beginning, earliest, shown
from gamestream_dagster.reconciliation.model.proof import JobCut, LedgerBalance, LedgerFault, TopicProof
from gamestream_dagster.reconciliation.model.values import BoardResult, Mode, Row, Sink, Verdict
from gamestream_dagster.reconciliation.observe.board_topic import BoardTopic, Key
from gamestream_dagster.reconciliation.observe.boards import BoardObserver, Limits, record_topic
from gamestream_dagster.reconciliation.observe.erased_counts import forget_counts
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.observe.standstill import Standstill
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.factory import open_recompute, open_with_erased
from gamestream_dagster.reconciliation.recompute.facts import events_between, unread_between
from gamestream_dagster.reconciliation.results.store import last_judged
from gamestream_dagster.settings import Settings

CONFIRMATIONS = 2
"""Looks, each after another checkpoint, that must show a difference again before it is reported."""

_BOTH = (Sink.POSTGRES, Sink.KAFKA)
_DRAIN_POLL_SECONDS = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What to reconcile, and how: the boards of one topic."""

    settings: Settings
    mode: Mode
    source: Source
    """The stream that all of the boards are computed from."""
    boards: Sequence[Board]
    sinks: Sequence[Sink]
    limits: Limits
    root: Path
    policy: Policy
    say: Say

    @property
    def topic_dir(self) -> Path:
        """Where the archive of the input is."""
        return self.settings.archive_dir / self.source.topic

    def run(self, engine: Engine) -> TopicProof:
        """Look, and look again as long as something differs.

        Raises:
            CouldNotLookError, ArchiveError, ServiceError: nothing can be said.
        """
        with ExitStack() as closing:
            flink = closing.enter_context(FlinkRest(self.settings.flink_rest))
            forget_counts(self.settings, engine, self.source)
            looker = BoardObserver(engine, flink, KafkaAdmin(self.settings.kafka), self.source.topic, self.limits)
            copied = self._copied(looker)
            looks = _Looks(self, looker, closing)
            first = sum(len(result.differences) for result in looks.first())
            looks.again()
            archive, seen = looks.archive, looks.seen
            self._check_log(engine, archive.manifest, seen.topic_id)
            self.say("ledger")
            low = {job: cut.low for job, cut in seen.jobs.items()}
            counted = balance(archive, archive.at(seen.high), seen.counted, low)
            write_ledger(engine, archive, archive.at(seen.high))
            ledger = replace(counted, faults=(*counted.faults, *self._unlike_original(looks, copied)))
            proof = replace(self.nothing_seen(""), jobs=tuple(seen.jobs.values()), high=seen.high, ledger=ledger)
            damaged = [fault.sentence for fault in ledger.faults if fault.where == ARCHIVE]
            if damaged:
                reason = f"the archive cannot judge: {'; '.join(damaged)}; mend it with `gamestream archive --mend`"
                return replace(proof, reason=reason)
            results = self._explained(engine, looks, counted)
            events = events_between(archive, archive.at(seen.high, _low(seen.jobs.values())))
        found = sum(len(result.differences) for result in results)
        verdict = _verdict(results, ledger)
        if verdict is Verdict.MATCH:
            self._adopt(engine, seen, archive.chapter.begins)
        return replace(
            proof,
            verdict=verdict,
            reason="; ".join((_reason(results, ledger, archive.chapter.begins), *seen.notes)),
            boards=tuple(results),
            topic_id=seen.topic_id,
            holds_from=dict(archive.chapter.begins),
            archive_head=archive.manifest.head,
            bracket_events=events,
            unconfirmed=max(0, first - found),
        )

    def _copied(self, looker: BoardObserver) -> Cut:
        """Of a copy of another topic: up to where that was surely copied, asked before the look makes a checkpoint."""
        if self.source.copy_of is None:
            return {}
        jobs = sorted({board.job for board in self.boards})
        return earliest(looker.kafka.committed(f"gamestream-{job}", self.source.copy_of) for job in jobs)

    def _unlike_original(self, looks: _Looks, copied: Cut) -> list[LedgerFault]:
        """Of a copy of another topic: what it lacks, and what it has beyond it."""
        if self.source.copy_of is None:
            return []
        original = source_named(self.source.copy_of, stack_sources(self.settings))
        end = looks.looker.kafka.end_offsets(original.topic)
        archive_topic(self.settings, original, end)
        at = looks.archive.at(looks.seen.high)
        folder = self.settings.archive_dir / original.topic
        return copy_faults(looks.archive, at, original, folder, low=copied, high=end)

    def nothing_seen(self, reason: str) -> TopicProof:
        """What is said of the topic when its boards could not be compared."""
        about = tuple(board.name for board in self.boards)
        return TopicProof(self.source.topic, Verdict.COULD_NOT_RUN, reason, about)

    def _check_log(self, engine: Engine, manifest: Manifest, topic_id: TopicId | None) -> None:
        """See that the archive's log has grown from what the last run was judged by.

        Raises:
            ArchiveRewrittenError: it was written anew.
        """
        last = last_judged(engine, self.source.topic, topic_id)
        if last is None:
            return
        run_id, then, head = last
        if not manifest.grew_from(head, then):
            raise ArchiveRewrittenError(self.topic_dir, run_id)

    def _adopt(self, engine: Engine, seen: Observation, begins: Cut) -> None:
        """Record the topic of jobs that an earlier version deployed: a match proves that their states are of it.

        Their own counts agree with the archive's for each partition and minute, and every row is what its events give.
        """
        if seen.topic_id is None:
            return
        for cut in seen.jobs.values():
            if cut.topic_id is None:
                record_topic(engine, cut, self.source.topic, TopicState(seen.topic_id, dict(begins)))

    def _explained(self, engine: Engine, looks: _Looks, ledger: LedgerBalance) -> list[BoardResult]:
        if not any(result.differences for result in looks.results):
            return looks.results
        suppression = load_suppression(self.settings)
        explainer = Explainer(
            archive=looks.archive,
            boards={board.name: board for board in self.boards},
            seen=looks.seen,
            witnesses={(one.board, one.sink): one for one in looks.witnesses},
            faults=ledger.faults,
            facts={job: read_facts(engine, job) for job in {board.job for board in self.boards}},
            policy=self.policy,
            topic=self.source.topic,
            history=self._history,
            say=self.say,
            season=self.settings.season,
            suppression=suppression,
            erased=partial(self._erased, looks, ledger, suppression),
        )
        return explainer.explain(looks.results)

    def _erased(self, looks: _Looks, ledger: LedgerBalance, suppression: Suppression) -> ErasedRecords | None:
        """What is kept of erased records."""
        opened = open_with_erased(self.settings, self.source)
        if opened is None:
            return None
        archive = looks.closing.enter_context(opened)
        return ErasedRecords(archive, looks.seen.counted, ledger.faults, suppression, self.source.topic)

    def _history(self, board: Board, shown: Mapping[Key, Row]) -> TopicHistory:
        """What the board's topic has held up to now."""
        admin = KafkaAdmin(self.settings.kafka)
        found = read_history(board, BoardTopic(self.settings.kafka, board).changes(), shown)
        waiting = admin.end_offsets(board.topic) != admin.end_offsets(board.topic, read_committed=True)
        return replace(found, open_transaction=waiting)

    def look(self, looker: BoardObserver, sinks: Sequence[Sink]) -> Observation:
        """One observation, archived up to its high cut; in drained mode one whose cuts are the same."""
        deadline = time.monotonic() + self.limits.drain
        standstill = Standstill(self.settings, looker, self.root, self.say)
        standstill.finish_killed(sorted({board.job for board in self.boards}))
        while True:
            self.say("checkpoint and boards")
            if self.mode is Mode.SAVEPOINT:
                seen = standstill.look(self.boards, sinks)
            else:
                seen = looker.look(self.boards, sinks)
            self.say("archive")
            archived = archive_topic(self.settings, self.source, seen.high, topic_id=seen.topic_id)
            check_beginning(self.source.topic, archived.chapter.begins, seen.jobs.values())
            if self.mode is not Mode.DRAINED:
                return seen
            behind = self._behind(seen)
            if behind == 0:
                return seen
            if time.monotonic() > deadline:
                raise CouldNotLookError(
                    f"the stream is not drained: {behind} records lie between the two cuts after "
                    f"{self.limits.drain:.0f} s",
                    "stop what sends events, or use the mode `bracket`",
                )
            time.sleep(_DRAIN_POLL_SECONDS)

    def _behind(self, seen: Observation) -> int:
        """Records between the cuts of which a job can tell, by position: no markers, nothing that is no object."""
        low = _low(seen.jobs.values())
        if low == dict(seen.high):
            return 0
        with self.open() as archive:
            return unread_between(archive, archive.at(seen.high, low))

    def open(self) -> ArchiveDatabase:
        """The archive as it is now."""
        return open_recompute(self.settings, self.source, say=self.say)


@dataclass
class _Looks:
    """The looks of one proof; the last one is what is reported."""

    task: Task
    looker: BoardObserver
    closing: ExitStack
    results: list[BoardResult] = field(default_factory=list[BoardResult])
    """Differences that every look has shown, in the sinks that were asked for."""
    witnesses: list[BoardResult] = field(default_factory=list[BoardResult])
    """What the last look found in both sinks."""

    def first(self) -> list[BoardResult]:
        """Look; both sinks at once where the jobs have to stop for it."""
        exact = self.task.mode is Mode.SAVEPOINT
        self.seen = self.task.look(self.looker, _BOTH if exact else self.task.sinks)
        self.since: dict[str, Cut] = {job: cut.low for job, cut in self.seen.jobs.items()}
        self.witnesses = self._examine(_BOTH if exact else self.task.sinks)
        self.results = [one for one in self.witnesses if one.sink in self.task.sinks]
        return self.results

    def again(self) -> None:
        """As long as rows differ: look at both sinks after another checkpoint; not where the jobs stood still."""
        if self.seen.exact:
            return
        boards = {board.name: board for board in self.task.boards}
        for _ in range(CONFIRMATIONS):
            if not any(result.differences for result in self.results):
                return
            self.task.say("rows differ: looking again after another checkpoint")
            self.archive.close()
            self.seen = self.task.look(self.looker, _BOTH)
            self.witnesses = self._examine(_BOTH)
            mine = [one for one in self.witnesses if one.sink in self.task.sinks]
            self.results = still_there(self.results, mine, boards)

    def _examine(self, sinks: Sequence[Sink]) -> list[BoardResult]:
        self.task.say("recompute and compare")
        self.archive = self.closing.enter_context(self.task.open())
        return examine(
            self.archive, self.task.boards, sinks, seen=self.seen, since=self.since, settings=self.task.settings
        )


def _low(jobs: Iterable[JobCut]) -> dict[int, int]:
    return earliest(job.low for job in jobs)


def _verdict(results: Sequence[BoardResult], ledger: LedgerBalance) -> Verdict:
    found = [difference for result in results for difference in result.differences]
    if not ledger.balanced or not all(one.accepted for one in found):
        return Verdict.DIFFERENT
    return Verdict.EXPLAINED if found else Verdict.MATCH


def _reason(results: Sequence[BoardResult], ledger: LedgerBalance, begins: Cut) -> str:
    told: list[str] = []
    different = [result for result in results if result.differences]
    if different:
        rows = sum(result.rows_different for result in different)
        where = ", ".join(dict.fromkeys(f"{result.board} ({result.sink.value})" for result in different))
        causes = dict.fromkeys(one.cause for result in different for one in result.differences)
        told.append(f"{rows} rows differ in {where}: {', '.join(causes)}")
    if not ledger.balanced:
        told.append(
            "the ledger does not balance: " + ("; ".join(fault.sentence for fault in ledger.faults) or "see its parts")
        )
    told = told or ["every row is what the input allows"]
    if begins:
        told.append(f"the archive begins at {shown(begins)}, and nothing is said of what was before")
    return "; ".join(told)

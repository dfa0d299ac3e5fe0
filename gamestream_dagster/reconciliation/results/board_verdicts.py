"""The verdict of a run on one board: that of its own rows, where the run can tell them from those of other boards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects.postgresql import ARRAY

from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.warehouse.tables import differences, reconciliation_topics

_WITH_ROWS = frozenset({Verdict.EXPLAINED.value, Verdict.DIFFERENT.value})


@dataclass(frozen=True)
class TopicFinding:
    """What a run found about one topic. `balanced` is False if its ledger does not add up, None if nobody knows."""

    verdict: str
    boards: frozenset[str]
    balanced: bool | None = None


@dataclass(frozen=True)
class Findings:
    """What runs found, by run. `rows`: by board, whether the policy accepts all of its differences, if it has any."""

    topics: Mapping[str, Sequence[TopicFinding]] = field(default_factory=dict[str, Sequence[TopicFinding]])
    rows: Mapping[str, Mapping[str, bool]] = field(default_factory=dict[str, Mapping[str, bool]])

    def of(self, run: FinishedRun, board: str) -> FinishedRun:
        """The run with its verdict on one board.

        A fault that is in no row of the topic (a ledger that does not balance) counts for each of its boards.
        """
        topic = next((one for one in self.topics.get(run.run_id, ()) if board in one.boards), None)
        verdict = topic.verdict if topic else run.verdict
        return replace(run, verdict=self._on_rows(verdict, topic, run, board) if verdict in _WITH_ROWS else verdict)

    def _on_rows(self, verdict: str, topic: TopicFinding | None, run: FinishedRun, board: str) -> str:
        found = self.rows.get(run.run_id, {})
        rows = {name: accepted for name, accepted in found.items() if topic is None or name in topic.boards}
        elsewhere = verdict == Verdict.DIFFERENT.value and (
            all(rows.values()) or (topic is not None and topic.balanced is False)
        )
        if elsewhere or not rows:
            return verdict
        if board not in rows:
            return Verdict.MATCH.value
        return Verdict.EXPLAINED.value if rows[board] else Verdict.DIFFERENT.value


def findings_of(link: Connection, runs: Iterable[FinishedRun]) -> Findings:
    """What these runs found about their topics and boards. A run that matches as a whole needs no look."""
    ids = sorted({run.run_id for run in runs if run.verdict != Verdict.MATCH.value})
    if not ids:
        return Findings()
    topics: dict[str, list[TopicFinding]] = {}
    for run_id, verdict, boards, balanced in link.execute(_topics(ids)):
        if verdict and isinstance(boards, list):
            named = frozenset(map(str, cast("list[object]", boards)))
            topics.setdefault(run_id, []).append(TopicFinding(verdict, named, balanced))
    rows: dict[str, dict[str, bool]] = {}
    for run_id, board, accepted in link.execute(_rows(ids)):
        rows.setdefault(run_id, {})[board] = bool(accepted)
    return Findings(topics, rows)


def _any(ids: list[str]) -> sa.ColumnElement[Any]:
    # one parameter, however many runs a stretch of the past has
    return sa.any_(sa.cast(sa.literal(ids, ARRAY(sa.Text)), ARRAY(sa.Text)))


def _topics(ids: list[str]) -> Select[Any, Any, Any, Any]:
    own = reconciliation_topics.c
    told = own.ledger["balanced"].astext
    balanced = sa.case((told == "true", sa.true()), (told == "false", sa.false()))
    return sa.select(own.run_id, own.verdict, own.boards, balanced).where(own.run_id == _any(ids))


def _rows(ids: list[str]) -> Select[Any, Any, Any]:
    own = differences.c
    accepted = sa.func.bool_and(sa.func.coalesce(own.accepted, sa.false()))
    return sa.select(own.run_id, own.board, accepted).where(own.run_id == _any(ids)).group_by(own.run_id, own.board)

"""What was seen of the running system at one moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import Row, Sink
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger


@dataclass(frozen=True)
class Observation:
    """The boards at one moment, and the two cuts between which they lie."""

    jobs: Mapping[str, JobCut]
    high: Mapping[int, int]
    boards: Mapping[tuple[str, Sink], list[Row]]
    counted: JobLedger = field(default_factory=JobLedger)
    """What the jobs themselves counted: the second counter of the ledger."""
    topic_id: TopicId | None = None
    """The incarnation of the input topic that all cuts belong to; None: the broker gives no ids."""
    at_millis: int = field(default_factory=lambda: round(time.time() * 1000))
    """When the boards had been read, by this machine's clock."""
    notes: tuple[str, ...] = ()
    """What was found changed by another hand, and not used."""
    exact: bool = False
    """The jobs stood still: each board is the result of its job's low cut."""

    def high_of(self, job: str) -> Mapping[int, int]:
        """The high cut of one job's boards."""
        return self.jobs[job].low if self.exact else self.high

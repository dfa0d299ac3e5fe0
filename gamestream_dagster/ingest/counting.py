"""The server's own count of its answers: noted in a journal before each answer, and folded into Postgres."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.fates.http_ledger import Counts, Journal
from gamestream_dagster.ingest.door import Answer, Verdict

FOLD_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Counting:
    """Counts answers by key and minute.

    Args:
        journal: where they are noted.
        fold: adds what is noted to the table; GamestreamError where Postgres is away.
    """

    def __init__(self, journal: Journal, fold: Callable[[], int]) -> None:
        self._journal = journal
        self._fold = fold
        self._away = False

    def note(self, received_ms: int, key_id: str, answer: Answer) -> None:
        """Count an answer that is about to be sent; dry runs are none."""
        if answer.dry_run or not answer.events:
            return
        verdicts = answer.counts
        by_verdict = (verdicts[Verdict.ACCEPTED], verdicts[Verdict.DUPLICATE], verdicts[Verdict.REFUSED])
        counts = Counts(len(answer.events), *by_verdict, verdicts[Verdict.RETRY])
        self._journal.note(received_ms, key_id, counts)

    async def run(self) -> None:
        """Fold until cancelled. What cannot be folded now stays in the journal."""
        while True:
            await asyncio.sleep(FOLD_SECONDS)
            await asyncio.to_thread(self.fold)

    def fold(self) -> None:
        """Fold once."""
        try:
            self._fold()
        except GamestreamError as error:
            if not self._away:
                log.warning("the counts of answers stay in the journal for now: %s", error)
            self._away = True
        else:
            self._away = False

    def close(self) -> None:
        """Fold what is left and end the journal."""
        self.fold()
        self._journal.close()

"""Which kept counts of erased records a row can still show; the others are deleted."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Engine

from gamestream_dagster.archive.erased_counts import counted_topics, counts_dir, prune, prune_by_age
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.flink_jobs.record.deployment import began_after
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import erase_requests

_MOST_GENERATIONS = 10_000


def forget_counts(settings: Settings, engine: Engine, source: Source) -> int:
    """Delete the counts of erased records that no row can hold any more; returns how many files.

    Rows with a retention are gone by age. Others hold them until every job of theirs has begun from nothing after the
    newest erase: from then on its SQL leaves all erased players out.
    """
    folder = counts_dir(settings) / source.topic
    if not folder.is_dir():
        return 0
    if counted_topics([source]).get(source.topic) is not None:
        return prune_by_age(settings, source)
    if states_may_hold(engine, source):
        return 0
    files = len(list(prune(folder, lambda _: False)))
    with suppress(OSError):  # an erase has just begun to keep counts again
        folder.rmdir()  # from now on nothing is kept of the topic
    return files


def states_may_hold(engine: Engine, source: Source) -> bool:
    """Whether the state of a job that reads a topic is older than the newest erase."""
    with engine.connect() as link:
        newest: datetime | None = link.execute(sa.select(sa.func.max(erase_requests.c.suppressed_at))).scalar()
    store = PostgresDeploymentStore(engine)
    jobs = {board.job for board in load_boards(season=None).values() if source.topic in board.reads}
    histories = [list(store.history(job, _MOST_GENERATIONS)) for job in sorted(jobs)]
    return any(history and not began_after(history, newest) for history in histories)

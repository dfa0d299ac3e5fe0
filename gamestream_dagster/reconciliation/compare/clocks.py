"""Whether the time of a windowed board is the time of day: a producer's clock may have moved its watermark ahead.

With `message.timestamp.type=LogAppendTime` the broker's clock stamps each record and this cannot happen. Where
producers stamp the records, one that is ahead in every partition closes windows that have not begun: the board stands
still until the time of day reaches them, and what comes meanwhile is dropped as late though it is not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.flink_jobs.record.observed import CLOCK_AHEAD_MS
from gamestream_dagster.reconciliation.compare.findings import board_difference
from gamestream_dagster.reconciliation.model.values import Cause, Causes, Difference, DifferenceKind, Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.statements import statement


def time_passed(newest: Mapping[int, int], now_millis: int | None = None) -> int:
    """The time up to which every partition has events, milliseconds, and never later than the clock.

    Args:
        newest: newest event time of each partition (see recompute/facts.py), at least one.
        now_millis: default: this machine's clock.
    """
    now = round(time.time() * 1000) if now_millis is None else now_millis
    return min(*newest.values(), now)


def watermark_of(board: Board, newest: Mapping[int, int], seen: Observation) -> int | None:
    """How far the input moves a windowed board's watermark, milliseconds; None: nothing is implied.

    A partition without any accepted event holds the watermark back.

    Args:
        board: description.
        newest: newest event time of each partition.
        seen: tells which partitions there are.
    """
    if board.window is None or not newest or newest.keys() != seen.high.keys():
        return None
    return min(newest.values()) - board.window.delay_seconds * 1000


def clock_difference(board: Board, sink: Sink, watermark: int | None, seen: Observation) -> Difference | None:
    """The alarm that a board's watermark (milliseconds) is ahead of the clock; None: it is not."""
    if watermark is None:
        return None
    ahead = watermark - seen.at_millis
    if ahead <= CLOCK_AHEAD_MS:
        return None
    explanation = (
        f"the board's watermark is {ahead / 1000:.0f} s ahead of the clock: every partition holds a record with a "
        "Kafka time to come, and until then the board takes no event"
    )
    found = board_difference(board, sink, DifferenceKind.STALE, explanation)
    return replace(found, alternatives=((Cause.CLOCK_AHEAD,),), evidence={"ahead_ms": ahead})


def named_by_clock(
    archive: ArchiveDatabase, at: EventsAt, board: Board, as_of: int | None, differences: Sequence[Difference]
) -> list[Difference]:
    """The differences, with CLOCK_AHEAD for LATE where events of the window were not late by their own Kafka times.

    A watermark is never ahead of the Kafka times before it. So an event that was dropped before its tick had ended by
    its own Kafka time came behind a record whose clock was ahead.
    """
    if board.window is None or as_of is None or not any(_late(one) for one in differences):
        return list(differences)
    delay = board.window.delay_seconds * 1000
    from_time = as_of - board.window.length_seconds * 1000
    tick = board.window.tick_seconds * 1000
    sql = statement("compare/overtaken")
    [found] = archive.query(at, sql, delay=delay, tick=tick, from_time=from_time, to_time=as_of)
    if not found["events"]:
        return list(differences)
    facts = {"on_time_by_their_own_kafka_time": found["events"], "clocks_apart_ms": found["apart"]}
    return [
        replace(one, alternatives=tuple(map(_clocked, one.alternatives)), evidence={**one.evidence, **facts})
        if _late(one)
        else one
        for one in differences
    ]


def _late(difference: Difference) -> bool:
    return any(Cause.LATE in causes for causes in difference.alternatives)


def _clocked(causes: Causes) -> Causes:
    return tuple(Cause.CLOCK_AHEAD if cause is Cause.LATE else cause for cause in causes)

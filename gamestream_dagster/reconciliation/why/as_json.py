"""The answer to why a row is as it is, as JSON text; in parts, so that a million lines take no memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.why.answer import Why


def json_parts(found: Why, limit: int | None) -> Iterator[str]:
    """Parts of one JSON object. ASCII alone, so that no name reaches a terminal raw.

    Args:
        found: the answer, while its archive is open.
        limit: lines at each end of a long list; None for all.

    Raises:
        LinesDoNotAddUpError: the lines are not what a sum says.
    """
    head = {
        "board": found.board.name,
        "entity": list(found.entity),
        "sink": found.sink.value,
        "topic": found.topic,
        "shown": found.shown,
        "recomputed": found.recomputed,
        "low": {str(partition): offset for partition, offset in found.low.items()},
        "cut": {str(partition): offset for partition, offset in found.cut.items()},
        "adds_up": found.adds_up,
        "standing": found.standing.value,
        "sentence": found.sentence,
        **{side: _neighbour(found, row) for side, row in _sides(found)},
        "excluded_reasons": found.reasons,
    }
    yield json.dumps(head, default=str)[:-1] + ', "sums": ['
    for number, one in enumerate(found.sums):
        sum_head = {name: getattr(one, name) for name in ("column", "key", "total", "events", "in_flight")}
        sum_head |= {"late_events": one.late_events, "late_total": one.late_total}
        first, last = (found.lines(one), []) if limit is None else found.ends(one, limit)
        if isinstance(first, list) and last:
            sum_head["left_out"] = left_out(one.events, first, last)
        yield (", " if number else "") + json.dumps(sum_head, default=str)[:-1] + ', "lines": '
        yield from _listed(first, last)
        yield "}"
    yield '], "excluded": '
    yield from _listed(*((found.excluded, []) if limit is None else found.excluded.ends(limit)))
    yield "}"


def left_out(events: int, first: list[Row], last: list[Row]) -> dict[str, int]:
    """Number and sum of the events between the first and the last lines of a sum of `events` lines."""
    between = last[0]["total"] - last[0]["score"] - first[-1]["total"]
    return {"events": events - len(first) - len(last), "total": between}


def _sides(found: Why) -> Iterable[tuple[str, Row | None]]:
    return (("above", found.above), ("below", found.below), ("last", found.last))


def _neighbour(found: Why, row: Row | None) -> Mapping[str, Any] | None:
    if row is None:
        return None
    gap = found.gap(row)
    return {"row": row, "ahead_by": None if gap is None else int(gap) if gap.denominator == 1 else float(gap)}


def _listed(*parts: Iterable[Row]) -> Iterator[str]:
    separator = "["
    for part in parts:
        for row in part:
            yield f"{separator}\n{json.dumps(row)}"
            separator = ","
    yield "[]" if separator == "[" else "]"

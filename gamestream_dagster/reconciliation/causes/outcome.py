"""Differences with the causes that were found for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.causes.witness import Testimony
from gamestream_dagster.reconciliation.compare.findings import entity_of
from gamestream_dagster.reconciliation.model.values import (
    BoardResult,
    Cause,
    Causes,
    Difference,
    DifferenceKind,
    Row,
    Sink,
)
from gamestream_dagster.reconciliation.observe.board_topic import Key


def with_testimony(difference: Difference, testimony: Testimony) -> Difference:
    """The difference with the causes and facts of a testimony."""
    evidence = {**difference.evidence, **testimony.facts}
    return replace(difference, alternatives=tuple((cause,) for cause in testimony.either), evidence=evidence)


def unlike_row(board: Board, key: Key, shown: Row | None, right: Row | None) -> Difference:
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


def place_in(board: Board, key: Key) -> object:
    """What tells the rows of one season apart: the rank, or the entity as a difference names it."""
    return key[-1] if board.ranked else tuple(str(part) for part in key[-len(board.entity) :])


def places_of(board: Board, result: BoardResult | None) -> set[object]:
    """The places, as `place_in` gives them, about which a comparison found a sink wrong."""
    return {one.rank if board.ranked else one.entity for one in (result.differences if result else ())}


def same_row(differences: Sequence[Difference], difference: Difference, *, ranked: bool) -> Difference | None:
    """The difference of the same rank in the other sink; of the same entity where rows have no ranks."""
    if not ranked:
        return next((one for one in differences if one.entity == difference.entity), None)
    return next((one for one in differences if one.rank is not None and one.rank == difference.rank), None)


def joined(one: Difference, in_job: Difference | None, behind: Testimony | None) -> Difference:
    """A row with the cause that the other sink's row has in the job, and the one behind the job.

    Args:
        one: the difference, as the job's events alone explain it.
        in_job: the other sink's difference at the same rank.
        behind: why this sink does not show what the topic holds; None: it does.
    """
    if behind is None or not behind.either:  # the same row as there, for the same reason
        return one if in_job is None else replace(one, alternatives=in_job.alternatives, evidence=in_job.evidence)
    if in_job is None:
        return with_testimony(one, behind)
    if in_job.unexplained:
        causes = " or ".join(behind.either)
        return replace(one, alternatives=(), evidence={**one.evidence, **behind.facts, "behind_the_job": causes})
    alternatives = tuple(_together(causes, (cause,)) for causes in in_job.alternatives for cause in behind.either)
    return replace(one, alternatives=alternatives, evidence={**in_job.evidence, **behind.facts})


def _together(first: Causes, second: Causes) -> Causes:
    return tuple(cause for cause in Cause if cause in {*first, *second})

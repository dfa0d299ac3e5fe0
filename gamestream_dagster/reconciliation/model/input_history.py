"""What the archive says about the input between two cuts, as the comparison asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.model.ranges import LabelRange, StandingRange, SumRange, TimeRange, Watermarks
from gamestream_dagster.reconciliation.model.values import Entity

DEPTH = 5
"""The recompute at the low cut is read this many times deeper than the board, for shares that have since changed."""


def depth(board: Board) -> int:
    """How many rows of the recompute at the low cut the comparison needs: of an output without ranks all."""
    return DEPTH * board.rows if board.ranked else board.rows


@dataclass(frozen=True)
class Best:
    """The best member of an entity at the low cut, for a column with the role `choice`."""

    member: str
    value: int


class History(Protocol):
    """What the archive says about the input between the cuts. Keys are the values of the columns asked for."""

    def sums(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, SumRange]:
        """Range of the sum of scores of each key; keys without any event before the high cut are left out."""
        ...

    def counts(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, SumRange]:
        """Range of the number of events of each key; keys without any event before the high cut are left out."""
        ...

    def distinct(self, over: tuple[str, ...], of: str, keys: Sequence[Entity]) -> Mapping[Entity, SumRange]:
        """Range of the number of different values of an event column; keys without any event are left out."""
        ...

    def shown(self, board: Board, entities: Sequence[Entity]) -> Set[Entity]:
        """Those of some entities that have a row at the high cut, of an output without ranks."""
        ...

    def labels(self, entity: tuple[str, ...], column: str, keys: Sequence[Entity]) -> Mapping[Entity, LabelRange]:
        """Range of the greatest text of each key."""
        ...

    def newest(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, TimeRange]:
        """Range of the newest Kafka time of each key; keys without any event before the high cut are left out."""
        ...

    def firsts(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, TimeRange]:
        """Range of the earliest event time of each key; keys without any event before the high cut are left out."""
        ...

    def lasts(self, over: tuple[str, ...], keys: Sequence[Entity]) -> Mapping[Entity, TimeRange]:
        """Range of the latest event time of each key; keys without any event before the high cut are left out."""
        ...

    def standing(
        self, entity: tuple[str, ...], over: tuple[str, ...], keys: Sequence[Entity]
    ) -> Mapping[Entity, StandingRange]:
        """Range of the number of subjects, named by `over`, whose last event has a key; without any it is left out."""
        ...

    def watermarks(self) -> Watermarks:
        """How far the events move the watermark."""
        ...

    def best(self, entity: tuple[str, ...], choice: str, keys: Sequence[Entity]) -> Mapping[Entity, Best]:
        """Best member of each key at the low cut; keys without events before it are left out."""
        ...

"""The history of a board's topic, key by key: one pass over its records, in memory bounded by the number of keys.

Both sinks of a board receive the same changes in the same order. So the topic shows which row a sink should hold after
each record, and how far a sink has progressed: its frontier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.values import RecordAt, Row
from gamestream_dagster.reconciliation.observe.board_topic import Change, Key, is_whole

MOST_KEYS = 100_000
"""Maximum number of keys of one topic in memory."""


class Position(NamedTuple):
    """A position in the topic; positions of two partitions have no order."""

    partition: int
    offset: int

    def reached_by(self, other: Position | None) -> bool:
        """Whether a sink that shows the change at `other` has received this one."""
        return other is not None and other.partition == self.partition and other.offset >= self.offset


@dataclass(frozen=True)
class Held:
    """When the topic held exactly the row in the sink, every column equal."""

    first: Position
    """The first record that held it: a sink with this row has progressed at least this far."""
    last: Position
    next: Position | None
    """The change that replaced or deleted it; None: it is the newest."""
    behind: int
    """Number of later versions."""


@dataclass(frozen=True)
class KeyHistory:
    """The records of one key."""

    first: Position
    newest: RecordAt
    deleted: bool
    """The newest record is a tombstone."""
    appeared: Position | None
    """The record that created the row after its absence; None while it is deleted."""
    held: Held | None = None
    before_tombstone: bool = False
    """The sink shows the row that the newest record, a tombstone, deleted."""


@dataclass(frozen=True)
class TopicHistory:
    """A board's topic from its first record to its end."""

    keys: Mapping[Key, KeyHistory] = field(default_factory=dict[Key, KeyHistory])
    complete: bool = True
    """No record is known to be missing: the topic starts at offset 0 and compaction has left no gap."""
    unreadable: int = 0
    """Records that no job writes, replaced by a later record of their key."""
    without_key: int = 0
    first_foreign: RecordAt | None = None
    open_transaction: bool = False
    """Records belong to an open transaction."""

    def frontier(self, without: Key) -> Position | None:
        """How far the sink has certainly progressed, by its other rows; None: unknown."""
        reached = [one.held.first for key, one in self.keys.items() if key != without and one.held is not None]
        # Positions of two partitions have no order; a board's topic has one partition.
        return max(reached, default=None) if len({one.partition for one in reached}) <= 1 else None


@dataclass
class _Known:
    """Facts about one key while the topic is read."""

    first: Position
    newest: Change
    appeared: Position | None = None
    held_first: Position | None = None
    held_last: Position | None = None
    next: Position | None = None
    behind: int = 0
    unreadable_newest: bool = False

    def take(self, change: Change, row: Row | None, shown: Row | None) -> None:
        """Add one record; `row` is None for a tombstone, `shown` the sink's row under the key."""
        at = Position(change.partition, change.offset)
        self.newest = change
        if row is None:
            self.appeared = None
        elif self.appeared is None:
            self.appeared = at
        if row is not None and row == shown:
            self.held_first, self.held_last, self.next, self.behind = self.held_first or at, at, None, 0
        elif self.held_last is not None:
            self.next, self.behind = self.next or at, self.behind + 1


def read_history(board: Board, changes: Iterable[Change], shown: Mapping[Key, Row]) -> TopicHistory:
    """Read the topic once.

    Args:
        board: description.
        changes: its records in order.
        shown: the sink's row by key.

    Raises:
        CouldNotLookError: the topic holds too many keys.
    """
    known: dict[Key, _Known] = {}
    ends: dict[int, int] = {}
    complete, replaced, without_key = True, 0, 0
    first_foreign: RecordAt | None = None
    for change in changes:
        # A commit marker takes one offset; compaction may have removed the records behind a larger gap.
        complete = complete and change.offset - ends.get(change.partition, 0) <= 1
        ends[change.partition] = change.offset + 1
        key = None if change.key is None else change.key_of(board)
        row = None if change.value is None else change.row(board)
        readable = key is not None and (row is None or is_whole(row))
        if not readable:
            first_foreign = first_foreign or RecordAt(board.topic, change.partition, change.offset, change.key)
        if key is None:
            without_key += change.key is None
            continue
        one = known.setdefault(key, _Known(Position(change.partition, change.offset), change))
        replaced += one.unreadable_newest
        one.unreadable_newest = not readable
        one.take(change, row, shown.get(key))
        if len(known) > MOST_KEYS:
            raise CouldNotLookError(f"{board.topic} holds over {MOST_KEYS} keys", "only the job may write to it")
    keys = {key: _told(board, one) for key, one in known.items()}
    return TopicHistory(keys, complete, replaced, without_key, first_foreign)


def _told(board: Board, one: _Known) -> KeyHistory:
    held = None
    if one.held_first is not None and one.held_last is not None:
        held = Held(one.held_first, one.held_last, one.next, one.behind)
    deleted = one.newest.value is None
    return KeyHistory(
        first=one.first,
        newest=RecordAt(board.topic, one.newest.partition, one.newest.offset, one.newest.key),
        deleted=deleted,
        appeared=one.appeared,
        held=held,
        before_tombstone=deleted and held is not None and held.behind == 1,
    )

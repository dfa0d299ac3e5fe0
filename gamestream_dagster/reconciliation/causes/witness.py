"""Causes behind the job: what a sink shows, against the history of the board's topic (table in docs/causes.md).

Both sinks of a board receive the same changes in the same order. Where the topic is right about a row and Postgres is
not, the cause follows from every column of the row, from what the topic held under its key, and from the frontier: how
far Postgres has got by what its other rows show. Sums alone decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.causes.topic_history import Held, KeyHistory, Position, TopicHistory
from gamestream_dagster.reconciliation.compare.findings import entity_of
from gamestream_dagster.reconciliation.model.values import Cause, Entity, Row, SinkRow
from gamestream_dagster.reconciliation.observe.board_topic import Key
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.history import history_between

SHOWN = "shown"
"""Name in the evidence of the whole row that the wrong sink shows, or None."""
OTHER_SHOWS = "the_other_sink_shows"
"""Name in the evidence of the row that the other sink shows under this key, or None."""
OTHER_IS_WRONG = "the_other_sink_is_wrong"
"""Name in the evidence of a row about which the other sink is wrong too: it is no witness of what the job wrote."""
KEY = "key"
"""Name in the evidence of the values of the row's key columns."""

_LAG, _EDITED, _STALE = Cause.SINK_LAG, Cause.EDITED_BY_HAND, Cause.STALE_ROW


class Order(StrEnum):
    """What the transactions that wrote the rows say of a row that Postgres has, beside the rows of later changes."""

    KEPT = "kept"  # the row was written before them, as the topic has it
    BROKEN = "broken"  # the row was written after one of them: not by the job
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Testimony:
    """Why a row of one sink is wrong; more than one cause: either of them. No cause: the job wrote the row."""

    either: tuple[Cause, ...]
    facts: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Sides:
    """One board: what Postgres shows, what the topic shows, and what the topic has held."""

    board: Board
    postgres: Mapping[Key, Row]
    kafka: Mapping[Key, Row]
    history: TopicHistory
    """`held` of each key is about the row in Postgres."""
    earlier_prefix: Callable[[Key, Row], bool | None]
    """Whether some earlier prefix of the input gives a row in every column and rank; None: cannot be told."""
    foreign: frozenset[Key] = frozenset()
    """Keys about which the topic alone is wrong: its newest record is no newer version of what Postgres shows. Where
    both are wrong, the job wrote both, and its newer version counts."""

    def held(self, key: Key | None) -> bool:
        """Whether the topic has held just the row that Postgres shows under a key."""
        one = None if key is None else self.history.keys.get(key)
        return one is not None and one.held is not None


def testify_postgres(sides: Sides, key: Key) -> Testimony:
    """Why Postgres does not show what the topic rightly holds under a key."""
    shown, one = sides.postgres.get(key), sides.history.keys.get(key)
    facts = _facts(sides, key, shown, sides.kafka.get(key))
    if shown is None:
        either, note = _absent(sides, key, one)
    elif one is not None and one.held is not None:
        either, note = _older(sides, key, one, one.held)
        if one.held.next is not None:
            facts["written_at"] = f"{sides.board.topic} p{one.held.last.partition}@{one.held.last.offset}"
            facts["versions_behind"] = one.held.behind
    else:
        either, note = _never_held(sides, key, shown, one)
    return Testimony(either, {**facts, "why": note})


def testify_kafka(sides: Sides, key: Key) -> Testimony:
    """Why the topic does not hold what Postgres rightly shows under a key: its newest record is not the job's."""
    shown, one = sides.kafka.get(key), sides.history.keys.get(key)
    facts = _facts(sides, key, shown, sides.postgres.get(key))
    record = shown.record if isinstance(shown, SinkRow) else None
    record = record or (one.newest if one is not None else None)
    if record is None:
        why = "the topic holds no record of this key: it was emptied, or its records wait for a commit"
        return Testimony((_LAG, _EDITED), {**facts, "why": why})
    facts["record"] = record
    foreign = f"the record at {record} is not the job's"
    if not sides.history.open_transaction or shown is None:
        return Testimony((_EDITED,), {**facts, "why": foreign})
    if sides.earlier_prefix(key, shown) is False:
        return Testimony((_EDITED,), {**facts, "why": foreign})
    why = f"records after {record} wait for their transaction to be committed, or it is not the job's"
    return Testimony((_LAG, _EDITED), {**facts, "why": why})


def testify_standstill(sides: Sides) -> Testimony:
    """Why Postgres shows an older window than the topic."""
    held = sum(one.held is not None for one in sides.history.keys.values())
    facts: dict[str, object] = {OTHER_SHOWS: "a later window"}
    if not sides.postgres:
        return Testimony((_LAG, _EDITED), {**facts, "why": "Postgres holds no row at all"})
    if held:
        return Testimony((_LAG,), {**facts, "why": f"the topic held {held} of the rows that Postgres shows"})
    return Testimony((_EDITED,), {**facts, "why": "the topic never held any of the rows that Postgres shows"})


def written_order(sides: Sides, key: Key, held: Held) -> Order:
    """Compare the age of a row with the ages of rows that show changes after it."""
    mine = _age(sides.postgres.get(key))
    later = [
        age
        for other, one in sides.history.keys.items()
        if other != key and one.held is not None and held.last.reached_by(one.held.first)
        if (age := _age(sides.postgres.get(other))) is not None
    ]
    if mine is None or all(age == mine for age in later):  # one transaction wrote them: the job's, or a hand's
        return Order.UNKNOWN
    return Order.BROKEN if any(age > mine for age in later) else Order.KEPT


def _age(row: Row | None) -> int | None:
    return row.age if isinstance(row, SinkRow) else None


def _facts(sides: Sides, key: Key, shown: Row | None, other: Row | None) -> dict[str, object]:
    facts: dict[str, object] = {
        SHOWN: shown,
        OTHER_SHOWS: other,
        KEY: dict(zip(sides.board.key_columns, key, strict=True)),
    }
    history = sides.history
    if history.first_foreign is not None:
        facts["foreign_records"] = (
            f"{history.unreadable} replaced, {history.without_key} without a key, the first at {history.first_foreign}"
        )
    return facts


def _past(sides: Sides, key: Key, change: Position) -> bool:
    return change.reached_by(sides.history.frontier(key))


def _absent(sides: Sides, key: Key, one: KeyHistory | None) -> tuple[tuple[Cause, ...], str]:
    """Postgres has no row, the topic rightly has one."""
    if not sides.postgres:
        return (_LAG, _EDITED), "Postgres holds no row at all: it is behind, or somebody emptied the table"
    if one is None or one.appeared is None:
        return (_LAG, _EDITED), "the topic held the row when the boards were read, and holds it no more"
    if _past(sides, key, one.appeared):
        return (_EDITED,), "deleted: other rows show changes that came after the row"
    if not sides.history.complete:  # what is left may be a late version of a row that is old
        if sides.board.ranked and any(other[:-1] == key[:-1] and other[-1] > key[-1] for other in sides.postgres):
            return (_EDITED,), "deleted: a later rank is there, and no board has a gap"
        return (_LAG, _EDITED), "compaction removed older records: the row may have come later, or was deleted"
    if _others_lag(sides, key):
        return (_LAG,), "Postgres has not got as far as the row's first record"
    return (_LAG, _EDITED), "the row came last: Postgres has not got as far, or it was deleted"


def _older(sides: Sides, key: Key, one: KeyHistory, held: Held) -> tuple[tuple[Cause, ...], str]:
    """The topic held just this row, every column equal."""
    if held.next is None:
        return (), "the job wrote this row: it is the newest in the topic"
    past, order = _past(sides, key, held.next), written_order(sides, key, held)
    deleted = one.deleted and one.before_tombstone
    if order is Order.BROKEN and not deleted and (past or not _others_lag(sides, key)):
        return (_EDITED,), "an old value put back: the row was written after rows that show later changes"
    if not past:
        if order is Order.UNKNOWN and not _others_lag(sides, key):
            why = "no other row tells whether Postgres is behind or the old row was put back"
            return (_LAG, _EDITED), f"{_versions(held.behind)} behind the topic; {why}"
        return (_LAG,), f"{_versions(held.behind)} behind the topic"
    if deleted:
        return (_STALE,), "the job deleted the row, and Postgres shows changes that came after that"
    if order is Order.KEPT:
        why = (
            "other rows show later changes, but nobody has written to the row since: writes to it are lost, or put back"
        )
        return (_LAG, _EDITED), why
    return (_EDITED,), "an old value put back: other rows show changes that came after the next version"


def _others_lag(sides: Sides, key: Key) -> bool:
    """Whether Postgres is behind in another row that nobody has touched: a repair can be why this one is younger."""
    others = (one for one in sides.history.keys.items() if one[0] != key and one[0] not in sides.foreign)
    return any(_lags(sides, other, one) for other, one in others)


def _lags(sides: Sides, key: Key, one: KeyHistory) -> bool:
    if one.held is not None:
        behind = one.held.next is not None and not _past(sides, key, one.held.next)
        return behind and written_order(sides, key, one.held) is not Order.BROKEN
    shown = sides.postgres.get(key)
    if shown is None or sides.history.complete or one.deleted or _past(sides, key, one.first):
        return False
    return sides.earlier_prefix(key, shown) is True


def _versions(count: int) -> str:
    return "1 version" if count == 1 else f"{count} versions"


def _never_held(sides: Sides, key: Key, shown: Row, one: KeyHistory | None) -> tuple[tuple[Cause, ...], str]:
    """No record of the topic holds this row."""
    gone = one is None or one.deleted
    if sides.history.complete:
        return (
            _EDITED,
        ), "inserted: the topic has no record of this key" if one is None else "the topic never held this row"
    if one is not None and not gone and _past(sides, key, one.first):
        return (
            _EDITED,
        ), "Postgres has passed the oldest record that compaction left of this key, and none holds the row"
    match sides.earlier_prefix(key, shown):
        case True:
            why = "compaction removed the record; an earlier prefix of the input gives the row in every column"
            if gone or _others_lag(sides, key):
                return (_STALE if gone else _LAG,), why
            return (_LAG, _EDITED), f"{why}, and no other row is behind"
        case False:
            return (_EDITED,), "compaction removed older records, and no earlier prefix of the input gives this row"
        case None:
            return (
                _LAG,
                _EDITED,
            ), "compaction removed older records, and the search for an earlier prefix was too long"


def past_values(
    archive: ArchiveDatabase, at: EventsAt, board: Board, job_boards: Sequence[Board], rows: Sequence[Row]
) -> dict[Entity, bool | None]:
    """By entity, whether the sums shown are running totals of an earlier cut; None where it cannot be told."""
    if board.window is not None:
        return {}
    history = history_between(archive, at.from_beginning(), job_boards)
    found: dict[Entity, bool | None] = {}
    for name, column in board.columns.items():
        if column.role is not ColumnRole.SUM:
            continue
        keyed = {tuple(str(row[part]) for part in column.over): row for row in rows if isinstance(row.get(name), int)}
        ranges = history.sums(column.over, list(keyed))
        for key, row in keyed.items():
            entity, allowed = entity_of(board, row), ranges.get(key)
            if allowed is None or not allowed.allows(row[name]):
                found[entity] = False
            elif found.get(entity, True) is not False:
                found[entity] = True if allowed.exact and found.get(entity, True) else None
    return found

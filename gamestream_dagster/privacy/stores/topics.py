"""The topics of Kafka. Compacted ones are erased by tombstones, the others by retention: records cannot be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa

from gamestream_dagster.archive.erasing import holds
from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.topics import Topic, load_topics
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.privacy.inventory import Kind, about_players, load_inventory, of_kind
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.privacy.stores.warehouse import BLANK
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import closed_seasons

SEGMENT_SECONDS: Final = 600
"""`segment.ms` of the topics of outputs: a record that a newer one replaces is compacted after its segment rolled."""
CLEANER_SECONDS: Final = 3600
"""Time that the broker's cleaner, or the roll of a segment of a topic with retention, may take besides."""


@dataclass(frozen=True)
class _Record:
    """One record of the player."""

    partition: int
    offset: int
    written: int
    key: bytes | None
    value: bytes | None


class Topics:
    """Every declared topic, and those of outputs, as far as they exist.

    Args:
        settings: the stack.
    """

    name = "kafka"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = KafkaAdmin(settings.kafka)

    def scan(self, player: Player) -> list[Found]:
        """Records by topic, with the time from which on retention or compaction has removed them."""
        return [found for topic in self._topics() if (found := self._found(topic, player)) is not None]

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """The records whose key or `user_id` is the player; records of others that name the player are theirs."""
        for topic in self._topics():
            yield (
                f"kafka/{topic.name}",
                (_readable(one) for one in self._records(topic, player) if _is_own(one, player)),
            )

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Write a tombstone for each key of compacted topics whose newest record holds the player."""
        removed = 0
        closed = closed_starts(self._settings)
        for topic in self._topics():
            if not _compacted(topic):
                continue
            keys = self._newest_keys(topic, player)
            if keys:
                self._entomb(topic, keys, closed)
                removed += len(keys)
                say(f"topic {topic.name}: {len(keys)} keys")
        return removed

    def _topics(self) -> Iterator[Topic]:
        inventory = load_inventory()
        boards = load_boards(season=None)
        present = self._admin.topics()
        for name, topic in load_topics(self._settings.topic_profile, boards=boards).items():
            if name not in present:
                continue
            if topic.board is not None and about_players(inventory.outputs[topic.board]):
                if of_kind(inventory.outputs[topic.board], Kind.PLAYER):
                    yield topic
            elif topic.board is None and inventory.topics[name] is not Kind.NONE:
                yield topic

    def _found(self, topic: Topic, player: Player) -> Found | None:
        """Records of the player, and since when each that a newer one of its key replaces waits for compaction."""
        count = newest = 0
        standing: set[tuple[int, bytes]] = set()
        keys: set[tuple[int, bytes]] = set()
        for partition, key, value, written in self._all(topic):
            mine = about(key, value, player)
            if mine:
                count, newest = count + 1, max(newest, written)
            if key is None or not _compacted(topic):
                continue
            place = partition, key
            if mine and value is not None:
                standing.add(place)
                keys.add(place)
            elif place in keys:
                standing.discard(place)
                newest = max(newest, written)
        if not count:
            return None
        name = f"topic {topic.name}"
        if not _compacted(topic):
            return Found(name, count, newest + int(topic.config["retention.ms"]) + CLEANER_SECONDS * 1000)
        if standing:  # nothing but a newer record of the key removes it
            return Found(name, len(standing))
        return Found(name, count, newest + (SEGMENT_SECONDS + CLEANER_SECONDS) * 1000)

    def _all(self, topic: Topic) -> Iterator[tuple[int, bytes | None, bytes | None, int]]:
        ends = self._admin.end_offsets(topic.name, read_committed=True)
        for chunk in read_range(self._settings.kafka, topic.name, self._admin.beginning_offsets(topic.name), ends):
            raw = chunk.raw
            for key, value, written in zip(raw.keys, raw.values, raw.timestamps, strict=True):
                yield chunk.partition, key, value, written

    def _records(self, topic: Topic, player: Player) -> Iterator[_Record]:
        ends = self._admin.end_offsets(topic.name, read_committed=True)
        for chunk in read_range(self._settings.kafka, topic.name, self._admin.beginning_offsets(topic.name), ends):
            raw = chunk.raw
            for offset, written, key, value in zip(raw.offsets, raw.timestamps, raw.keys, raw.values, strict=True):
                if about(key, value, player):
                    yield _Record(chunk.partition, offset, written, key, value)

    def _newest_keys(self, topic: Topic, player: Player) -> dict[tuple[int, bytes], bytes]:
        """Partition and key of the records of the player that no later record replaces, with their values."""
        found: dict[tuple[int, bytes], bytes] = {}
        for partition, key, value, _ in self._all(topic):
            if key and value is not None and about(key, value, player):
                found[partition, key] = value
            elif key:
                found.pop((partition, key), None)
        return found

    def _entomb(
        self, topic: Topic, keys: Mapping[tuple[int, bytes], bytes], closed: Mapping[str, frozenset[int]]
    ) -> None:
        """Tombstones, on the partitions of the keys' records; of closed seasons the record without the name.

        Raises:
            SendingError: one could not be written; calling again completes it.
        """
        board = load_boards(season=None).get(topic.board or "")
        with ScoreProducer(self._settings.kafka, topic.name) as producer:
            for (partition, key), value in keys.items():
                fresh = None if board is None else blanked(value, board, closed.get(board.name, frozenset()))
                producer.send(key, fresh, partition=partition)


def blanked(value: bytes, board: Board, closed: frozenset[int]) -> bytes | None:
    """A record of a closed season with a blank in place of the player; None for any other record."""
    if board.season_column is None or not closed:
        return None
    try:
        row: dict[str, Any] = orjson.loads(value)
        at = datetime.fromisoformat(str(row[board.season_column]).replace("Z", "+00:00"))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    start = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    if start not in closed:
        return None
    owners = of_kind(load_inventory().outputs[board.name], Kind.PLAYER)
    return orjson.dumps({**row, **dict.fromkeys(owners, BLANK)})


def closed_starts(settings: Settings) -> dict[str, frozenset[int]]:
    """Starts of closed seasons by board, milliseconds."""
    found: dict[str, set[int]] = {}
    with open_engine(settings) as engine, engine.connect() as link:
        if sa.inspect(link).has_table(closed_seasons.name):
            for board, at in link.execute(sa.select(closed_seasons.c.board, closed_seasons.c.season_id)):
                found.setdefault(board, set()).add(round(at.timestamp() * 1000))
    return {board: frozenset(starts) for board, starts in found.items()}


def about(key: bytes | None, value: bytes | None, player: Player) -> bool:
    """Whether a record's key or content names the player."""
    if player.user_id is not None:
        exact = player.user_id.encode("utf-8", "surrogatepass")
        escaped = orjson.dumps(player.user_id)[1:-1]
        if not any(part and (exact in part or escaped in part or b"\\u" in part) for part in (key, value)):
            return False
    return holds(key, player) or holds(value, player)


def _is_own(record: _Record, player: Player) -> bool:
    """Whether the record is the player's own: it says so itself, or else its key does."""
    try:
        found: Any = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        return True
    if isinstance(found, dict) and isinstance(found.get("user_id"), str):
        return player(found["user_id"])
    return True


def _readable(record: _Record) -> dict[str, Any]:
    texts = {
        name: None if part is None else part.decode("utf-8", "backslashreplace")
        for name, part in (("key", record.key), ("value", record.value))
    }
    return {"partition": record.partition, "offset": record.offset, "written_at_millis": record.written, **texts}


def _compacted(topic: Topic) -> bool:
    return topic.config["cleanup.policy"] == "compact"

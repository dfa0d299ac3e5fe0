"""Kafka's admin calls for gamestream, each with a limit and typed results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # its documentation calls these public; its __init__ does not mark them so
    AlterConfigOpType,  # pyright: ignore[reportPrivateImportUsage]
    ConfigEntry,  # pyright: ignore[reportPrivateImportUsage]
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    NewTopic,  # pyright: ignore[reportPrivateImportUsage]
    OffsetSpec,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.kafka_requests import NO_COORDINATOR_YET, KafkaRequests, leaders_move
from gamestream_dagster.clients.topic_identity import NO_ID, TopicId, TopicState

T = TypeVar("T")

_EARLIEST = cast(OffsetSpec, OffsetSpec.earliest())  # typed as optional, never None
_LATEST = cast(OffsetSpec, OffsetSpec.latest())
_NEWEST = cast(OffsetSpec, OffsetSpec.max_timestamp())

_COMMITS_NOTHING: dict[str, str | int | bool] = {"enable.auto.commit": False, "enable.auto.offset.store": False}

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class TopicDescription:
    """One topic in the cluster."""

    name: str
    partitions: int
    replication_factor: int
    """Replicas of the partition that has fewest."""
    config: Mapping[str, str]
    """Every effective topic setting, by Kafka's own names, including defaults."""
    leaderless: tuple[int, ...]
    """Partitions without a leader."""


class KafkaAdmin(KafkaRequests):
    """Topics and offsets of one Kafka cluster.

    Args:
        kafka: where the cluster is.
        timeout_seconds: limit of every single request.

    Every method raises `TransientServiceError` when the cluster does not answer and `TerminalServiceError` when it
    refuses; `NotFoundError` when the topic does not exist.
    """

    def topics(self) -> set[str]:
        """Names of all topics except Kafka's internal ones."""
        found = self._call(lambda: self.native.list_topics(timeout=self.timeout_seconds), "list topics")
        return {name for name in found.topics if not name.startswith("__")}

    def describe(self, topic: str) -> TopicDescription | None:
        """The topic, or None when it does not exist."""
        return self.describe_many([topic]).get(topic)

    def describe_many(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        """The existing ones of `topics`, by name, in two requests."""
        metadata = self._call(lambda: self.native.list_topics(timeout=self.timeout_seconds), "list topics").topics
        present = [name for name in topics if name in metadata and metadata[name].error is None]
        if not present:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in present]
        futures = self._call(
            lambda: self.native.describe_configs(resources, request_timeout=self.timeout_seconds), "describe topics"
        )
        described = {}
        for resource, future in futures.items():
            name = resource.name
            try:
                entries: dict[str, ConfigEntry] = self._result(future, f"describe topic {name!r}")
            except NotFoundError:  # deleted between the two requests
                continue
            partitions = metadata[name].partitions
            described[name] = TopicDescription(
                name=name,
                partitions=len(partitions),
                replication_factor=min((len(p.replicas) for p in partitions.values()), default=0),
                config={key: entry.value for key, entry in entries.items() if entry.value is not None},
                leaderless=tuple(sorted(i for i, p in partitions.items() if p.leader < 0)),
            )
        return described

    def create(
        self, topic: str, partitions: int, config: Mapping[str, str] | None = None, replication_factor: int = -1
    ) -> TopicDescription:
        """Create a topic and wait until each of its partitions has a leader.

        Args:
            topic: name.
            partitions: how many.
            config: Kafka's own setting names and values.
            replication_factor: -1 is the broker's default.

        Raises:
            AlreadyExistsError: it exists; nothing changed.
        """
        new = NewTopic(
            topic, num_partitions=partitions, replication_factor=replication_factor, config=dict(config or {})
        )
        what = f"create topic {topic!r}"
        futures = self._call(lambda: self.native.create_topics([new], request_timeout=self.timeout_seconds), what)
        self._result(futures[topic], what)

        def led() -> TopicDescription | None:
            found = self.describe(topic)
            return found if found and found.partitions == partitions and not found.leaderless else None

        return self._wait_for(led, f"topic {topic!r} was created, but its partitions have no leader yet")

    def configure(self, topic: str, config: Mapping[str, str]) -> None:
        """Change settings of an existing topic, by Kafka's own names; other settings stay.

        Raises:
            NotFoundError: there is no such topic.
        """
        what = f"change the settings of topic {topic!r}"
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()
        ]
        wanted = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]
        futures = self._call(
            lambda: self.native.incremental_alter_configs(wanted, request_timeout=self.timeout_seconds), what
        )
        for future in futures.values():
            self._result(future, what)

    def delete(self, topic: str) -> None:
        """Delete a topic with its records, and wait until it is gone.

        Raises:
            NotFoundError: there is none.
        """
        what = f"delete topic {topic!r}"
        futures = self._call(lambda: self.native.delete_topics([topic], request_timeout=self.timeout_seconds), what)
        self._result(futures[topic], what)
        self._wait_for(lambda: topic not in self.topics(), f"topic {topic!r} is marked for deletion, but still there")

    def topic_id(self, topic: str) -> TopicId | None:
        """The id of the topic's present incarnation; None where the broker has no ids."""
        found = self.topic_ids([topic])
        if topic not in found:
            raise NotFoundError("Kafka", f"there is no topic {topic!r}", "create it with `gamestream apply`")
        return found[topic]

    def topic_ids(self, topics: Iterable[str]) -> dict[str, TopicId | None]:
        """The ids of the existing ones of `topics`. One request."""
        names = list(dict.fromkeys(topics))
        if not names:
            return {}
        what = "describe topics"
        futures = self._call(
            lambda: self.native.describe_topics(TopicCollection(names), request_timeout=self.timeout_seconds), what
        )
        found: dict[str, TopicId | None] = {}
        for name, future in futures.items():
            try:
                text = str(self._result(future, f"{what} {name!r}").topic_id)
            except NotFoundError:
                continue
            found[name] = None if text in {NO_ID, "None"} else TopicId(text)
        return found

    def topic_state(self, topic: str) -> TopicState:
        """The topic's id with its beginning offsets, both of one incarnation."""
        while True:
            before, beginnings = self.topic_id(topic), self.beginning_offsets(topic)
            if self.topic_id(topic) == before:
                return TopicState(before, beginnings)

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the group's next offsets; the group must have no members. Waits for the group's coordinator."""
        consumer = Consumer(
            self.kafka.options(
                {
                    "group.id": group,
                    "enable.auto.commit": False,
                    "socket.timeout.ms": int(self.timeout_seconds * 1000),
                }
            )
        )
        listed = [TopicPartition(topic, partition, offset) for partition, offset in sorted(offsets.items())]
        what = f"set the offsets of group {group!r}"
        try:
            self._from_coordinator(lambda _: consumer.commit(offsets=listed, asynchronous=False), what)
        finally:
            consumer.close()

    def beginning_offsets(self, topic: str) -> dict[int, int]:
        """Offset of the oldest record, by partition."""
        return self._offsets(topic, _EARLIEST, IsolationLevel.READ_UNCOMMITTED)

    def ranges(self) -> dict[str, dict[int, tuple[int, int] | None]]:
        """Beginning and end offsets of every topic but Kafka's internal ones, by partition. Three requests.

        None where the broker gives no offset, as for a partition without a leader.
        """
        what = "read the offsets of all topics"
        metadata = self._call(lambda: self.native.list_topics(timeout=self.timeout_seconds), what).topics
        parts = [
            TopicPartition(name, partition)
            for name, one in metadata.items()
            if not name.startswith("__") and one.error is None
            for partition in one.partitions
        ]
        found: dict[str, dict[int, tuple[int, int] | None]] = {}
        if not parts:
            return found
        begins, ends = (
            self._call(
                lambda spec=spec: self.native.list_offsets(
                    dict.fromkeys(parts, spec), request_timeout=self.timeout_seconds
                ),
                what,
            )
            for spec in (_EARLIEST, _LATEST)
        )
        for part in parts:
            pair: tuple[int, int] | None = None
            with suppress(ServiceError):
                pair = self._result(begins[part], what).offset, self._result(ends[part], what).offset
            found.setdefault(part.topic, {})[part.partition] = pair
        return found

    def end_offsets(self, topic: str, read_committed: bool = False) -> dict[int, int]:
        """Next offset to be written, by partition; with `read_committed`, the first one of an open transaction."""
        isolation = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(topic, _LATEST, isolation)

    def offsets_at(self, topic: str, millis: int) -> dict[int, int]:
        """Offset of the first record at or after a time, by partition; partitions without one are left out."""
        spec = cast(OffsetSpec, OffsetSpec.for_timestamp(millis))
        found = self._offsets(topic, spec, IsolationLevel.READ_UNCOMMITTED)
        return {partition: offset for partition, offset in found.items() if offset >= 0}

    def newest_times(self, topic: str) -> dict[int, tuple[int, int]]:
        """Offset and timestamp (milliseconds since 1970) of the newest record by time, by partition.

        Empty partitions are left out.
        """
        found = self._list_offsets(topic, _NEWEST, IsolationLevel.READ_UNCOMMITTED)
        return {partition: (one.offset, one.timestamp) for partition, one in found.items() if one.offset >= 0}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Next offset that the group would read, by partition; partitions without a commit are left out.

        Asks through a consumer that joins no group: librdkafka's admin call dereferences a null pointer when the
        broker answers NOT_COORDINATOR (librdkafka issue 5040), as it does until the group's coordinator is there. That
        reply is retried. Takes at most twice `timeout_seconds`.
        """
        what = f"read the offsets of group {group!r}"
        consumer = Consumer({**self._connection("gamestream-offsets"), "group.id": group, **_COMMITS_NOTHING})
        try:
            metadata = self._call(lambda: consumer.list_topics(topic, timeout=self.timeout_seconds), what).topics[topic]
            if metadata.error is not None:
                raise self._typed(KafkaException(metadata.error), what)
            asked = [TopicPartition(topic, partition) for partition in metadata.partitions]
            found = self._from_coordinator(lambda left: consumer.committed(asked, timeout=left), what) if asked else []
        except NotFoundError:
            return {}
        finally:
            consumer.close()
        return {one.partition: one.offset for one in sorted(found, key=_partition) if one.offset >= 0}

    def _from_coordinator(self, ask: Callable[[float], list[TopicPartition] | None], what: str) -> list[TopicPartition]:
        """Retry until the group's coordinator is there and every partition's reply is without an error.

        Args:
            ask: receives the seconds left.
            what: for messages.
        """
        deadline = time.monotonic() + self.timeout_seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._no_answer(what)
            found: list[TopicPartition] = []
            try:
                found = ask(left) or []
                error = next((one.error for one in found if one.error is not None), None)
            except KafkaException as raised:
                error = raised.args[0]
            if error is None:
                return found
            if error.code() not in NO_COORDINATOR_YET:
                raise self._typed(KafkaException(error), what)
            time.sleep(_POLL_SECONDS)

    def _offsets(self, topic: str, spec: OffsetSpec, isolation: IsolationLevel) -> dict[int, int]:
        return {partition: one.offset for partition, one in self._list_offsets(topic, spec, isolation).items()}

    def _list_offsets(self, topic: str, spec: OffsetSpec, isolation: IsolationLevel) -> dict[int, Any]:
        what = f"read the offsets of topic {topic!r}"
        metadata = self._call(lambda: self.native.list_topics(timeout=self.timeout_seconds), what).topics.get(topic)
        if metadata is None or metadata.error is not None:
            raise NotFoundError("Kafka", f"there is no topic {topic!r}", "create it with `gamestream apply`")
        request = {TopicPartition(topic, partition): spec for partition in metadata.partitions}

        def ask() -> dict[int, Any]:
            futures = self._call(
                lambda: self.native.list_offsets(
                    request, isolation_level=isolation, request_timeout=self.timeout_seconds
                ),
                what,
            )
            return {part.partition: self._result(future, what) for part, future in futures.items()}

        patiently = Retrying(
            retry=retry_if_exception(leaders_move),
            stop=stop_after_delay(self.timeout_seconds),
            wait=wait_fixed(_POLL_SECONDS),
            reraise=True,
        )
        return dict(sorted(patiently(ask).items()))


def _partition(one: TopicPartition) -> int:
    return one.partition

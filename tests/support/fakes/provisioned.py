"""In-memory Kafka admin and registry, with their failures given to the constructor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gamestream_dagster.clients.errors import AlreadyExistsError, NotFoundError, ServiceError
from gamestream_dagster.clients.kafka_admin import TopicDescription
from gamestream_dagster.clients.registry import RegisteredSchema


class FakeKafkaAdmin:
    """Keeps topics in a dict. `down` is raised by every call, `refuses` by `create`; `racing` ones appear then."""

    def __init__(
        self,
        topics: Iterable[TopicDescription] = (),
        down: ServiceError | None = None,
        refuses: ServiceError | None = None,
        racing: Iterable[str] = (),
    ) -> None:
        self.topics = {topic.name: topic for topic in topics}
        self.created: list[str] = []
        self._down = down
        self._refuses = refuses
        self._racing = set(racing)

    def _answer(self) -> None:
        if self._down:
            raise self._down

    def describe_many(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        self._answer()
        return {name: self.topics[name] for name in topics if name in self.topics}

    def create(self, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> TopicDescription:
        self._answer()
        if self._refuses:
            raise self._refuses
        described = TopicDescription(topic, partitions, 1, dict(config or {}), ())
        raced, self.topics[topic] = topic in self._racing, described
        if raced:
            raise AlreadyExistsError("Kafka", "exists", "look")
        self.created.append(topic)
        return described

    def configure(self, topic: str, config: Mapping[str, str]) -> None:
        self._answer()
        held = self.topics[topic]
        self.topics[topic] = replace(held, config={**held.config, **config})

    def delete(self, topic: str) -> None:
        self._answer()
        if self.topics.pop(topic, None) is None:
            raise NotFoundError("Kafka", "no topic", "look")

    def beginning_offsets(self, topic: str) -> dict[int, int]:
        self._answer()
        return dict.fromkeys(range(self.topics[topic].partitions), 5)

    def end_offsets(self, topic: str) -> dict[int, int]:
        self._answer()
        return dict.fromkeys(range(self.topics[topic].partitions), 1505)


class FakeRegistry:
    """Keeps the versions of each subject in a list."""

    def __init__(self, subjects: Mapping[str, list[Mapping[str, Any]]] | None = None) -> None:
        self.subjects_held = {name: list(versions) for name, versions in (subjects or {}).items()}

    def latest(self, subject: str) -> RegisteredSchema | None:
        versions = self.subjects_held.get(subject)
        if not versions:
            return None
        return RegisteredSchema(subject, len(versions), 100 + len(versions), versions[-1])

    def versions(self, subject: str) -> list[int]:
        return list(range(1, len(self.subjects_held.get(subject, [])) + 1))

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        self.subjects_held.setdefault(subject, []).append(schema)
        return 100 + len(self.subjects_held[subject])

    def delete(self, subject: str) -> list[int]:
        gone = self.versions(subject)
        del self.subjects_held[subject]
        return gone

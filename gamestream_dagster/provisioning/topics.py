"""Topics: the catalogue's against the broker's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from gamestream_dagster.catalogue.topics import Topic
from gamestream_dagster.clients.kafka_admin import TopicDescription
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus


class TopicAdmin(Protocol):
    """What is needed of `clients.kafka_admin.KafkaAdmin`."""

    def describe_many(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        """Those that exist."""
        ...

    def create(self, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> object:
        """Create one."""
        ...

    def delete(self, topic: str) -> None:
        """Delete one."""
        ...

    def beginning_offsets(self, topic: str) -> dict[int, int]:
        """By partition."""
        ...

    def end_offsets(self, topic: str) -> dict[int, int]:
        """By partition."""
        ...


class TopicProvider:
    """Kafka topics."""

    kind = ResourceKind.TOPIC

    def __init__(self, specs: Mapping[str, Topic], admin: TopicAdmin) -> None:
        self._specs = specs
        self._admin = admin

    def names(self) -> list[str]:
        """Topics of the catalogue."""
        return list(self._specs)

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """How they stand; two requests in all."""
        wanted = list(names)
        found = self._admin.describe_many(wanted)
        return [topic_status(self._specs[name], found.get(name)) for name in wanted]

    def create(self, name: str) -> None:
        """Create it with the catalogue's partitions and settings, replicated as the broker's default says."""
        spec = self._specs[name]
        self._admin.create(name, spec.partitions, spec.config)

    def holdings(self, name: str) -> str | None:
        """Records between the oldest and the next offset."""
        if name not in self._admin.describe_many([name]):
            return None
        first, last = self._admin.beginning_offsets(name), self._admin.end_offsets(name)
        records = sum(last[partition] - first.get(partition, 0) for partition in last)
        return f"{records:,} records in {len(last)} partitions"

    def delete(self, name: str) -> None:
        """Delete it with its records."""
        self._admin.delete(name)


def topic_status(spec: Topic, found: TopicDescription | None) -> ResourceStatus:
    """Compare one topic. Pure. Only the settings that the catalogue names are compared."""
    if found is None:
        settings = ", ".join(f"{name}={value}" for name, value in spec.config.items())
        change = f"create, {_partitions(spec.partitions)}" + (f", {settings}" if settings else "")
        return ResourceStatus(ResourceKind.TOPIC, spec.name, ResourceState.MISSING, change=change)
    differences = []
    if found.partitions != spec.partitions:
        differences.append(f"has {_partitions(found.partitions)}, should have {spec.partitions}")
    for name, value in spec.config.items():
        actual = found.config.get(name)
        if not same_setting(actual, value):
            differences.append(f"{name} is {'not known' if actual is None else actual}, should be {value}")
    state = ResourceState.DRIFTED if differences else ResourceState.PRESENT
    remarks = []
    if found.leaderless:
        remarks.append(f"nobody leads partition {', '.join(map(str, found.leaderless))} at the moment")
    return ResourceStatus(
        ResourceKind.TOPIC,
        spec.name,
        state,
        tuple(differences + remarks),
        facts={
            "partitions": found.partitions,
            "replication_factor": found.replication_factor,
            **{name: found.config.get(name) for name in spec.config},
        },
    )


def same_setting(actual: str | None, wanted: str) -> bool:
    """Whether two values of a Kafka setting mean the same: numbers by value, lists in any order."""
    if actual is None:
        return False
    if actual == wanted:
        return True
    try:
        return float(actual) == float(wanted)
    except ValueError:
        return sorted(actual.split(",")) == sorted(wanted.split(","))


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"

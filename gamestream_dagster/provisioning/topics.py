"""Topics: the catalogue compared with the broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from gamestream_dagster.catalogue.topics import Topic
from gamestream_dagster.clients.kafka_admin import TopicDescription
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus

CHANGEABLE = ("message.timestamp.type",)
"""Settings that `apply` changes on an existing topic of our own broker; existing records stay unchanged."""


class TopicAdmin(Protocol):
    """The required part of `clients.kafka_admin.KafkaAdmin`."""

    def describe_many(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        """Those that exist."""
        ...

    def create(self, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> object:
        """Create one."""
        ...

    def configure(self, topic: str, config: Mapping[str, str]) -> None:
        """Change settings of one."""
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
    """Kafka topics. `foreign`: the broker is not ours, so topics are created and never changed."""

    kind = ResourceKind.TOPIC

    def __init__(self, specs: Mapping[str, Topic], admin: TopicAdmin, *, foreign: bool = False) -> None:
        self._specs = specs
        self._admin = admin
        self._foreign = foreign

    def names(self) -> list[str]:
        """Topics of the catalogue."""
        return list(self._specs)

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """Their states, in two requests."""
        wanted = list(names)
        found = self._admin.describe_many(wanted)
        return [topic_status(self._specs[name], found.get(name), foreign=self._foreign) for name in wanted]

    def create(self, name: str) -> None:
        """Create it with the catalogue's partitions and settings and the broker's default replication.

        On an existing topic only drifted `CHANGEABLE` settings are set.
        """
        spec = self._specs[name]
        found = self._admin.describe_many([name]).get(name)
        if found is None:
            self._admin.create(name, spec.partitions, spec.config)
        else:
            self._admin.configure(name, _to_set(spec, found))

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


def topic_status(spec: Topic, found: TopicDescription | None, *, foreign: bool = False) -> ResourceStatus:
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
    remarks = []
    if found.leaderless:
        remarks.append(f"nobody leads partition {', '.join(map(str, found.leaderless))} at the moment")
    settable = ", ".join(f"{name}={value}" for name, value in _to_set(spec, found).items())
    if settable and foreign:
        remarks.append(
            f"to change it: kafka-configs.sh --bootstrap-server HOST:PORT --alter --topic {spec.name} "
            f"--add-config {settable.replace(', ', ',')}"
        )
    return ResourceStatus(
        ResourceKind.TOPIC,
        spec.name,
        ResourceState.DRIFTED if differences else ResourceState.PRESENT,
        tuple(differences + remarks),
        change=f"set {settable} for new records" if settable and not foreign else "",
        facts={
            "partitions": found.partitions,
            "replication_factor": found.replication_factor,
            **{name: found.config.get(name) for name in spec.config},
        },
    )


def _to_set(spec: Topic, found: TopicDescription) -> dict[str, str]:
    """The changeable settings that differ, with the catalogue's values."""
    return {
        name: spec.config[name]
        for name in CHANGEABLE
        if name in spec.config and not same_setting(found.config.get(name), spec.config[name])
    }


def same_setting(actual: str | None, wanted: str) -> bool:
    """Whether two values of a Kafka setting are equal: numbers by value, lists in any order."""
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

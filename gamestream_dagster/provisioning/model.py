"""Values of provisioning: the state of a resource, and a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol


class ResourceKind(StrEnum):
    """Kinds of resources, in the order of provisioning."""

    MIGRATION = "migration"  # one revision of the system tables
    TABLE = "table"  # a Postgres table
    TOPIC = "topic"  # a Kafka topic
    SUBJECT = "subject"  # a schema registry subject
    JOB = "job"  # a Flink SQL job; planned and applied by `flink_jobs`


class ResourceState(StrEnum):
    """The state of a resource relative to its description."""

    MISSING = "MISSING"  # the service answered: it does not exist
    PRESENT = "PRESENT"  # exists as described
    DRIFTED = "DRIFTED"  # exists and differs; left unchanged unless `change` says otherwise
    UNKNOWN = "UNKNOWN"  # the service did not answer; no conclusion


@dataclass(frozen=True)
class ResourceStatus:
    """One resource as observed."""

    kind: ResourceKind
    name: str
    state: ResourceState
    details: tuple[str, ...] = ()
    """Sentences: differences, reasons for an unknown state, remarks."""
    change: str = ""
    """What `apply` would change; empty: nothing."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Observed figures, such as the number of partitions; ready for JSON."""
    created: bool = False
    """True when the call that returns this created or changed it."""

    def as_json(self) -> dict[str, Any]:
        """The status as plain values."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "status": self.state.value,
            "change": self.change,
            "details": list(self.details),
            "facts": dict(self.facts),
        }


class Outcome(StrEnum):
    """The outcome of one step of a plan."""

    DONE = "DONE"  # the change was made
    NOTHING_TO_DO = "NOTHING_TO_DO"  # it existed already
    FAILED = "FAILED"  # the service refused or did not answer; the rest of the plan continued


@dataclass(frozen=True)
class StepResult:
    """A step of a plan after its attempt."""

    planned: ResourceStatus
    outcome: Outcome
    status: ResourceStatus
    """Its state afterwards."""
    error: str = ""
    """One sentence, when it failed."""


@dataclass(frozen=True)
class Plan:
    """The observed state, and what `apply` will do: the statuses whose `change` is not empty, in order."""

    statuses: tuple[ResourceStatus, ...]

    @property
    def steps(self) -> tuple[ResourceStatus, ...]:
        """Statuses that `apply` would change."""
        return tuple(status for status in self.statuses if status.change)

    def having(self, state: ResourceState) -> tuple[ResourceStatus, ...]:
        """Statuses in this state."""
        return tuple(status for status in self.statuses if status.state is state)

    @property
    def exit_code(self) -> int:
        """0 everything as described, 1 changes or drift, 2 something could not be observed."""
        if self.having(ResourceState.UNKNOWN):
            return 2
        return 1 if any(s.change or s.state is not ResourceState.PRESENT for s in self.statuses) else 0


class Provider(Protocol):
    """One kind of resource. `observe` changes nothing; the others act on one resource each.

    All raise `clients.errors.ServiceError` when the service does not answer or refuses.
    """

    @property
    def kind(self) -> ResourceKind:
        """Which kind."""
        ...

    def names(self) -> list[str]:
        """Names of the described resources, in the order of creation."""
        ...

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """Their states, in the order of `names`."""
        ...

    def create(self, name: str) -> None:
        """Create a missing resource, or make its planned `change`; its data is never touched."""
        ...

    def holdings(self, name: str) -> str | None:
        """What deleting the resource would lose, for the confirmation; None: it does not exist."""
        ...

    def delete(self, name: str) -> None:
        """Delete it with its data."""
        ...


def make_plan(statuses: Iterable[ResourceStatus]) -> Plan:
    """The plan for an observation. Leaves drift alone, except for settings of our own topics that can
    change without touching the topic's data."""
    checked = []
    for status in statuses:
        acts = status.state is ResourceState.MISSING or status.kind in (ResourceKind.JOB, ResourceKind.TOPIC)
        checked.append(status if acts else replace(status, change=""))
    order = list(ResourceKind)
    return Plan(tuple(sorted(checked, key=lambda status: order.index(status.kind))))


def unknown(kind: ResourceKind, names: Iterable[str], reason: str) -> list[ResourceStatus]:
    """The statuses of resources whose service did not answer."""
    return [ResourceStatus(kind, name, ResourceState.UNKNOWN, (reason,)) for name in names]

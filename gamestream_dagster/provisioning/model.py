"""What provisioning works with: the state of a resource, and a plan. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol


class ResourceKind(StrEnum):
    """What can be provisioned, in the order in which it is."""

    MIGRATION = "migration"  # one revision of the system tables
    TABLE = "table"  # a Postgres table
    TOPIC = "topic"  # a Kafka topic
    SUBJECT = "subject"  # a schema registry subject
    JOB = "job"  # a Flink SQL job; planned and applied by `flink_jobs`


class ResourceState(StrEnum):
    """How a resource stands to its description."""

    MISSING = "MISSING"  # the service answered: it is not there
    PRESENT = "PRESENT"  # there, as described
    DRIFTED = "DRIFTED"  # there, and other than described; left as it is unless `change` says otherwise
    UNKNOWN = "UNKNOWN"  # the service gave no answer; nothing may be concluded from it


@dataclass(frozen=True)
class ResourceStatus:
    """One resource as it was found."""

    kind: ResourceKind
    name: str
    state: ResourceState
    details: tuple[str, ...] = ()
    """Sentences: how it differs, why nothing is known, what is remarkable."""
    change: str = ""
    """What `apply` would do about it; empty: nothing."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Figures as found, such as the number of partitions; ready for JSON."""
    created: bool = False
    """True when the call that returns this made or changed it."""

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
    """What became of one step of a plan."""

    DONE = "DONE"  # the change was made
    NOTHING_TO_DO = "NOTHING_TO_DO"  # it stood there already
    FAILED = "FAILED"  # the service refused or gave no answer; the rest of the plan went on


@dataclass(frozen=True)
class StepResult:
    """A step of a plan after it was tried."""

    planned: ResourceStatus
    outcome: Outcome
    status: ResourceStatus
    """How it stands afterwards."""
    error: str = ""
    """One sentence, when it failed."""


@dataclass(frozen=True)
class Plan:
    """What was found, and by that what `apply` will do: the statuses whose `change` is not empty, in order."""

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
        """0 everything stands as described, 1 changes or drift, 2 something could not be looked at."""
        if self.having(ResourceState.UNKNOWN):
            return 2
        return 1 if any(s.change or s.state is not ResourceState.PRESENT for s in self.statuses) else 0


class Provider(Protocol):
    """One kind of resource. `observe` looks and never acts; the others act on one resource each.

    All raise `clients.errors.ServiceError` when the service gives no answer or refuses.
    """

    @property
    def kind(self) -> ResourceKind:
        """Which kind."""
        ...

    def names(self) -> list[str]:
        """Names of the described resources, in the order of creation."""
        ...

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """How those stand, in the order of `names`."""
        ...

    def create(self, name: str) -> None:
        """Create a resource that is missing, or make its planned `change`; what it holds is never touched."""
        ...

    def holdings(self, name: str) -> str | None:
        """What would be lost with the resource, for the question before deleting; None: it does not exist."""
        ...

    def delete(self, name: str) -> None:
        """Delete it with what it holds."""
        ...


def make_plan(statuses: Iterable[ResourceStatus]) -> Plan:
    """The plan that follows from what was found. Drift is left alone, except for settings of our own topics that can be
    changed without touching what the topic holds."""
    checked = []
    for status in statuses:
        acts = status.state is ResourceState.MISSING or status.kind in (ResourceKind.JOB, ResourceKind.TOPIC)
        checked.append(status if acts else replace(status, change=""))
    order = list(ResourceKind)
    return Plan(tuple(sorted(checked, key=lambda status: order.index(status.kind))))


def unknown(kind: ResourceKind, names: Iterable[str], reason: str) -> list[ResourceStatus]:
    """The statuses of resources whose service could not be asked."""
    return [ResourceStatus(kind, name, ResourceState.UNKNOWN, (reason,)) for name in names]

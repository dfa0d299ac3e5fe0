"""The sensor that compares topics, subjects and tables with their description and reports changes. Read-only."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import orjson

from gamestream_dagster.components.deadline import Deadline, OutOfTimeError
from gamestream_dagster.components.provisioned import AS_DESCRIBED, drift_result
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus
from gamestream_dagster.resources.provisioning import Provisioner

SENSOR = "drift"
# Dagster kills a tick after 60 s; the clients' own limits are for people who wait.
TICK_SECONDS = 20.0

Watched = Mapping[ResourceKind, Mapping[str, dg.AssetKey]]
"""Asset keys of the resources by kind and name."""


@dataclass(frozen=True)
class Look:
    """The result of one tick: the resources, and why others could not be observed."""

    statuses: tuple[ResourceStatus, ...]
    silent: tuple[str, ...]


def look(watched: Watched, provisioner: Provisioner, deadline: Deadline) -> Look:
    """Every resource once, kind by kind; a server that does not answer affects only its own kind."""
    statuses: list[ResourceStatus] = []
    silent: list[str] = []
    for kind, keys in watched.items():
        try:
            found = deadline.within(lambda kind=kind, names=list(keys): provisioner.observe(kind, names))
        except OutOfTimeError as error:
            silent.append(f"{kind.value}s: {error}")
            continue
        known = [one for one in found if one.state is not ResourceState.UNKNOWN]
        statuses += known
        if len(known) < len(found):
            unknown = next(one for one in found if one.state is ResourceState.UNKNOWN)
            silent.append(f"{kind.value}s: {'; '.join(unknown.details)}")
    return Look(tuple(statuses), tuple(silent))


def changes(
    watched: Watched, statuses: Sequence[ResourceStatus], seen: Mapping[str, str]
) -> tuple[list[dg.AssetObservation | dg.AssetCheckEvaluation], dict[str, str]]:
    """Events for resources that changed since the last tick, and the new state of all. Pure."""
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
    updated = dict(seen)
    for status in statuses:
        name, digest = f"{status.kind.value}/{status.name}", f"{status.state.value}|{'; '.join(status.details)}"
        if seen.get(name) == digest:
            continue
        key = watched[status.kind][status.name]
        result = drift_result(status, key)
        told = result.description or ""
        events.append(dg.AssetObservation(asset_key=key, metadata={**result.metadata, "found": told}))
        events.append(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=AS_DESCRIBED,
                passed=result.passed,
                severity=result.severity,
                description=told,
                metadata=result.metadata,
            )
        )
        updated[name] = digest
    return events, updated


def tick(
    watched: Watched, provisioner: Provisioner, cursor: str | None, clock: Callable[[], float] = time.monotonic
) -> dg.SensorResult:
    """One observation; the cursor holds the state of each resource. Also reports a second daemon, which ticks too."""
    seen: dict[str, Any] = orjson.loads(cursor) if cursor else {}
    found = look(watched, provisioner, Deadline(TICK_SECONDS, clock))
    events, updated = changes(watched, found.statuses, seen)
    wanted = {f"{kind.value}/{name}" for kind, keys in watched.items() for name in keys}
    drifted = sorted(name for name, digest in updated.items() if not digest.startswith(ResourceState.PRESENT.value))
    reason = f"Not as described: {', '.join(drifted)}." if drifted else "All as described."
    second = provisioner.second_daemon()
    told = [reason, *(f"Could not look at the {one}" for one in found.silent), *([f"Mind: {second}"] if second else [])]
    return dg.SensorResult(
        skip_reason=" ".join(told),
        asset_events=events,
        cursor=orjson.dumps({name: digest for name, digest in updated.items() if name in wanted}).decode(),
    )


def drift_sensor(watched: Watched, interval_seconds: int) -> dg.SensorDefinition:
    """The sensor over all described resources."""

    @dg.sensor(
        name=SENSOR,
        description="Looks whether topics, subjects and tables stand as described; tells when that changes.",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        asset_selection=[key for keys in watched.values() for key in keys.values()],
    )
    def drift(context: dg.SensorEvaluationContext, provisioner: dg.ResourceParam[Provisioner]) -> dg.SensorResult:
        return tick(watched, provisioner, context.cursor)

    return drift

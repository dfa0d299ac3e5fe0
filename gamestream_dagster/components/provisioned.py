"""Turns described resources (topics, subjects, tables) into assets that create them and checks that report drift."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from gamestream_dagster.components.keys import Group
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.provisioning import Provisioner

AS_DESCRIBED = "as_described"

# A topic with other settings still works; a different table or schema breaks its writers or readers.
_SEVERITY = {
    ResourceKind.TOPIC: dg.AssetCheckSeverity.WARN,
    ResourceKind.SUBJECT: dg.AssetCheckSeverity.ERROR,
    ResourceKind.TABLE: dg.AssetCheckSeverity.ERROR,
}


@dataclass(frozen=True)
class Described:
    """One resource for the asset graph."""

    key: dg.AssetKey
    name: str
    description: str
    owner: str
    facts: dict[str, Any] = field(default_factory=dict)
    """Figures of the description, shown on the asset."""
    tags: dict[str, str] = field(default_factory=dict)


def provisioned(
    kind: ResourceKind, technology: str, described: Sequence[Described], key_of: Callable[[str], dg.AssetKey]
) -> tuple[dg.AssetsDefinition, dg.AssetChecksDefinition]:
    """The assets of one kind, in one step, and their drift checks.

    Args:
        kind: the provider that creates them.
        technology: the `kind` that Dagster shows, such as `kafka`.
        described: the resources.
        key_of: asset key of a resource by name.
    """
    names = {one.key: one.name for one in described}

    @dg.multi_asset(
        name=f"ensure_{kind.value}s",
        specs=[_asset_spec(one, kind, technology) for one in described],
        can_subset=True,
    )
    def ensure(
        context: dg.AssetExecutionContext, provisioner: dg.ResourceParam[Provisioner]
    ) -> Iterator[dg.MaterializeResult]:
        wanted = [names[key] for key in context.selected_asset_keys]
        with explained(f"provision the {kind.value}s"):
            for status in provisioner.ensure(kind, wanted):
                if status.state in (ResourceState.UNKNOWN, ResourceState.MISSING):
                    raise _not_there(status)
                yield dg.MaterializeResult(asset_key=key_of(status.name), metadata=_metadata(status))

    @dg.multi_asset_check(
        name=f"{kind.value}s_{AS_DESCRIBED}",
        description=f"Whether each {kind.value} stands as it is described; looks only.",
        specs=[
            dg.AssetCheckSpec(AS_DESCRIBED, asset=one.key, description=f"The {kind.value} has not drifted.")
            for one in described
        ],
        can_subset=True,
    )
    def drift(
        context: dg.AssetCheckExecutionContext, provisioner: dg.ResourceParam[Provisioner]
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = [names[key.asset_key] for key in context.selected_asset_check_keys]
        with explained(f"look at the {kind.value}s"):
            statuses = provisioner.observe(kind, wanted)
        for status in statuses:
            yield drift_result(status, key_of(status.name))

    return ensure, drift


def _asset_spec(one: Described, kind: ResourceKind, technology: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        one.key,
        description=one.description,
        group_name=Group.PROVISIONING.value,
        owners=[one.owner],
        kinds={technology, kind.value},
        tags={"layer": "provisioning", **one.tags},
        metadata={"name": one.name, **one.facts},
    )


def _not_there(status: ResourceStatus) -> dg.Failure:
    reason = "; ".join(status.details) or "it is still missing after it was created"
    return dg.Failure(
        description=f"The {status.kind.value} {status.name} could not be provisioned: {reason}",
        metadata={"state": status.state.value},
        allow_retries=status.state is ResourceState.UNKNOWN,
    )


def _metadata(status: ResourceStatus) -> dict[str, Any]:
    return {
        "status": status.state.value,
        "created": status.created,
        "details": "; ".join(status.details) or "as described",
        **{name: _plain(value) for name, value in status.facts.items()},
    }


def drift_result(status: ResourceStatus, key: dg.AssetKey) -> dg.AssetCheckResult:
    """One observation as a result of the check `as_described`."""
    drifted = status.state is ResourceState.DRIFTED
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=AS_DESCRIBED,
        passed=status.state is ResourceState.PRESENT,
        severity=_SEVERITY[status.kind] if drifted else dg.AssetCheckSeverity.ERROR,
        description="; ".join(status.details) or status.change or "As described.",
        metadata={"status": status.state.value, **{name: _plain(value) for name, value in status.facts.items()}},
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return "unknown" if value is None else value
    return dg.MetadataValue.json(value)

"""All services of a stack, in the order in which `gamestream status` lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from gamestream_dagster.platform import api, dagster, dashboard, flink, ingest, kafka, postgres, registry
from gamestream_dagster.platform.errors import UnknownServiceError
from gamestream_dagster.platform.service import Service


@cache
def services() -> dict[str, Service]:
    """Every service by name."""
    modules = (kafka, registry, postgres, ingest, api, flink, dagster, dashboard)
    return {service.name: service for module in modules for service in module.SERVICES}


def select(only: Iterable[str] | None) -> list[Service]:
    """The services named, directly or by group (`flink`, `dagster`), and their dependencies.

    Raises:
        UnknownServiceError: a name is neither; lists the known ones.
    """
    known = services()
    if only is None:
        return list(known.values())
    wanted: set[str] = set()
    for name in only:
        found = [service for service in known.values() if name in (service.name, service.group)]
        if not found:
            raise UnknownServiceError(f"There is no service {name!r}; choose from {', '.join(names())}.")
        for service in found:
            wanted |= _with_needs(service.name)
    return [service for service in known.values() if service.name in wanted]


def names() -> Sequence[str]:
    """Names that `--only` accepts: groups and services."""
    known = services().values()
    return list(dict.fromkeys([service.group for service in known] + [service.name for service in known]))


def _with_needs(name: str) -> set[str]:
    found = {name}
    for need in services()[name].needs:
        found |= _with_needs(need)
    return found

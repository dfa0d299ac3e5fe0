"""The facade: observe, plan, apply and delete over every kind, and the same for one resource by its name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.topics import load_topics
from gamestream_dagster.clients.errors import AlreadyExistsError, ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.provisioning.errors import ProvisioningError
from gamestream_dagster.provisioning.jobs import JobProvider
from gamestream_dagster.provisioning.model import (
    Outcome,
    Plan,
    Provider,
    ResourceKind,
    ResourceState,
    ResourceStatus,
    StepResult,
    make_plan,
    unknown,
)
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.provisioning.subjects import SubjectProvider
from gamestream_dagster.provisioning.tables import MigrationProvider, TableProvider
from gamestream_dagster.provisioning.topics import TopicProvider
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata

Providers = Mapping[ResourceKind, Provider]


@contextmanager
def open_providers(settings: Settings, say: Callable[[str], None] = lambda _: None) -> Iterator[Providers]:
    """The providers of a stack, in the order of creation; they connect on first use.

    `say` receives the job manager's progress: a deployment takes a while.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        registry = stack.enter_context(Registry(settings.registry))
        boards = load_boards(season=settings.season)
        found: list[Provider] = [
            MigrationProvider(engine),
            TableProvider(load_metadata(boards), engine),
            TopicProvider(
                load_topics(settings.topic_profile, boards=boards),
                KafkaAdmin(settings.kafka),
                foreign=settings.is_external("kafka"),
            ),
            SubjectProvider(load_subjects(), registry),
            JobProvider(settings, engine, say),
        ]
        yield {provider.kind: provider for provider in found}


def plan(settings: Settings, kinds: Collection[ResourceKind] = tuple(ResourceKind)) -> Plan:
    """Observe every resource of `kinds` and plan `apply`. Changes nothing, never raises `ServiceError`."""
    with open_providers(settings) as providers:
        return make_plan(observe_all({kind: found for kind, found in providers.items() if kind in kinds}))


def apply(
    settings: Settings,
    planned: Plan,
    progress: Callable[[StepResult], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> list[StepResult]:
    """Carry out the steps of a plan. Each observes again first, and creates only what is still missing.

    Args:
        settings: of the stack.
        planned: from `plan`.
        progress: receives each finished step.
        say: receives the job manager's progress.
    """
    with open_providers(settings, say) as providers:
        results = apply_steps(providers, planned, progress)
        tables = providers[ResourceKind.TABLE]
        if any(found.kind is ResourceKind.TABLE for found in planned.statuses) and isinstance(tables, TableProvider):
            _write_comments(tables, say)
        return results


def _write_comments(tables: TableProvider, say: Callable[[str], None]) -> None:
    """Comments are optional: if Postgres refuses them now, the next `apply` writes them."""
    try:
        written = tables.write_comments()
    except ServiceError as error:
        say(f"The tables' comments were not written: {error}")
    else:
        if written:
            say(f"wrote {written} comments on tables and columns")


def observe_all(providers: Providers) -> list[ResourceStatus]:
    """Every resource. A service that does not answer makes only its own resources UNKNOWN."""
    statuses: list[ResourceStatus] = []
    for provider in providers.values():
        statuses += observe(provider, provider.names())
    return statuses


def observe(provider: Provider, names: list[str]) -> list[ResourceStatus]:
    """The state of resources of one kind; UNKNOWN when the service does not answer."""
    try:
        return provider.observe(names)
    except ServiceError as error:
        return unknown(provider.kind, names, str(error))


def apply_steps(
    providers: Providers, planned: Plan, progress: Callable[[StepResult], None] = lambda _: None
) -> list[StepResult]:
    """As `apply`, over open providers.

    A failed step does not stop the others, except the jobs: they need everything before them.
    """
    results: list[StepResult] = []
    for step in planned.steps:
        failed = next((found.planned for found in results if found.outcome is Outcome.FAILED), None)
        if failed and step.kind is ResourceKind.JOB and failed.kind is not ResourceKind.JOB:
            reason = f"not tried, since {failed.kind} {failed.name} failed; apply again when that is fixed"
            result = StepResult(step, Outcome.FAILED, step, reason)
        else:
            result = _apply_step(providers[step.kind], step)
        progress(result)
        results.append(result)
    return results


def _apply_step(provider: Provider, step: ResourceStatus) -> StepResult:
    try:
        status = ensure(provider, step.name)
    except (ServiceError, ProvisioningError) as error:
        return StepResult(step, Outcome.FAILED, step, str(error))
    if status.state is ResourceState.UNKNOWN:
        return StepResult(step, Outcome.FAILED, status, status.details[0])
    return StepResult(step, Outcome.DONE if status.created else Outcome.NOTHING_TO_DO, status)


def ensure(provider: Provider, name: str) -> ResourceStatus:
    """Carry out the plan of one resource: create it when missing, or make its planned change.

    Raises:
        ServiceError: it is missing and could not be created.
        ProvisioningError: no such resource, or a job that could not be deployed.
    """
    _known(provider, name)
    [status] = observe(provider, [name])
    if not make_plan([status]).steps:
        return status
    created = True
    try:
        provider.create(name)
    except AlreadyExistsError:  # another process was faster
        created = False
    [status] = observe(provider, [name])
    return replace(status, created=created)


def holdings(settings: Settings, kind: ResourceKind, name: str) -> str | None:
    """What deleting a resource would lose; None when it does not exist.

    Raises:
        ProvisioningError: no resource of this kind has this name.
        ServiceError: the service does not answer.
    """
    with open_providers(settings) as providers:
        return _of(providers, kind, name).holdings(name)


def delete(settings: Settings, kind: ResourceKind, name: str) -> None:
    """Delete one resource of the catalogue with its data, without confirmation.

    Raises:
        ProvisioningError: no resource of this kind has this name.
        ServiceError: the service refuses or does not answer.
    """
    with open_providers(settings) as providers:
        _of(providers, kind, name).delete(name)


def _of(providers: Providers, kind: ResourceKind, name: str) -> Provider:
    provider = providers.get(kind)
    if provider is None:
        raise ProvisioningError(f"There is no kind {kind.value!r} here; choose one of {', '.join(providers)}.")
    _known(provider, name)
    return provider


def _known(provider: Provider, name: str) -> None:
    if name not in provider.names():
        raise ProvisioningError(
            f"There is no {provider.kind.value} {name!r} in the catalogue; choose one of {', '.join(provider.names())}."
        )

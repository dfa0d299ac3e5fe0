"""The provisioning facade as a Dagster resource."""

from collections.abc import Iterator, Sequence

import dagster as dg

from gamestream_dagster.provisioning.model import ResourceKind, ResourceStatus
from gamestream_dagster.settings import Settings


class Provisioner:
    """Topics, subjects and tables of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ensure(self, kind: ResourceKind, names: Sequence[str]) -> Iterator[ResourceStatus]:
        """Create missing resources in the order of the catalogue; reports drift, does not correct it.

        Raises:
            ServiceError: a resource is missing and could not be created.
        """
        from gamestream_dagster.provisioning import manager

        with manager.open_providers(self._settings) as providers:
            provider = providers[kind]
            for name in provider.names():
                if name in names:
                    yield manager.ensure(provider, name)

    def observe(self, kind: ResourceKind, names: Sequence[str]) -> list[ResourceStatus]:
        """The state of resources of one kind; UNKNOWN when their service does not answer."""
        from gamestream_dagster.provisioning import manager

        with manager.open_providers(self._settings) as providers:
            return manager.observe(providers[kind], list(names))

    def second_daemon(self) -> str:
        """The effect of a second Dagster daemon on this stack; empty when there is none."""
        from gamestream_dagster.clients.dagster_daemons import second_daemon_told

        return second_daemon_told(self._settings)


class ProvisionerResource(dg.ConfigurableResource[Provisioner]):
    """Opens the provisioning of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Provisioner:
        """A plain provisioner."""
        return Provisioner(self.stack)

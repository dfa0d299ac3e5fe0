"""The enrichment tables of one stack, and how many events they leave unknown; Kafka is imported when it is asked."""

import dagster as dg

from gamestream_dagster.enrichment.shares import SAMPLE, Shares
from gamestream_dagster.enrichment.tables import Table, publish
from gamestream_dagster.settings import Settings


class Enrichment:
    """The tables of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def publish(self, name: str) -> Table:
        """Put a packaged table into the stack's folder, unless a newer one is there.

        Raises:
            TableError: it cannot be used, or not be written.
        """
        return publish(self._settings.enrichment_dir, name)

    def shares(self) -> Shares:
        """What the newest enriched events know; nothing where there is no such topic yet.

        Raises:
            ServiceError: Kafka does not answer.
        """
        from gamestream_dagster.monitoring.enriched import newest_shares

        return newest_shares(self._settings, SAMPLE)


class EnrichmentResource(dg.ConfigurableResource[Enrichment]):
    """Opens the enrichment tables of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Enrichment:
        """The tables of one stack."""
        return Enrichment(self.stack)

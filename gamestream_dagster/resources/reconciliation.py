"""Archive and reconciliation facades as Dagster resources; DuckDB and Kafka are imported when they work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.catalogue.sources import source_named, stack_sources
from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.archive.writer import ArchiveResult
    from gamestream_dagster.reconciliation.certificates.seasons import ClosedSeason
    from gamestream_dagster.reconciliation.intake.model import IntakeProof
    from gamestream_dagster.reconciliation.run import ReconciliationRun


@dataclass(frozen=True)
class Holdings:
    """What an archive holds: Kafka records, rows (an array of events is one record and several rows), files."""

    records: int
    rows: int
    files: int


class Archive:
    """The event archive of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def bring_up_to_date(self, topic: str) -> "ArchiveResult":
        """Copy everything up to the topic's end offsets of now, and index its event ids."""
        from gamestream_dagster.archive.id_index import try_to_index
        from gamestream_dagster.archive.writer import archive_topic

        result = archive_topic(self._settings, source_named(topic, stack_sources(self._settings)))
        return replace(result, not_indexed=try_to_index(self._settings, topic))

    def holdings(self, topic: str) -> "Holdings":
        """What the archive holds of a topic, by its manifest."""
        from gamestream_dagster.archive.manifest_file import load_manifest

        files = load_manifest(self._settings.archive_dir / topic).files
        return Holdings(sum(file.records for file in files), sum(file.rows for file in files), len(files))


class ArchiveResource(dg.ConfigurableResource[Archive]):
    """Opens the event archive of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Archive:
        """A plain archiver."""
        return Archive(self.stack)


class Reconciler:
    """The reconciliation of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, boards: Sequence[str] | None = None) -> "ReconciliationRun":
        """Compare boards with their recompute in `bracket` mode; default: all whose job was ever deployed."""
        from gamestream_dagster.reconciliation.run import reconcile

        return reconcile(self._settings, mode="bracket", boards=None if boards is None else list(boards))

    def prove_intake(self) -> "IntakeProof":
        """Compare the topics that intake writes with the archive's judgement of the raw topic, over the last day."""
        from gamestream_dagster.reconciliation.intake.run import reconcile_intake

        return reconcile_intake(self._settings, hours=24)

    def close_seasons(self) -> "list[ClosedSeason]":
        """Close the seasons that have ended."""
        from gamestream_dagster.reconciliation.certificates.seasons import close_seasons

        return close_seasons(self._settings)


class ReconcilerResource(dg.ConfigurableResource[Reconciler]):
    """Opens the reconciliation of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Reconciler:
        """A plain reconciler."""
        return Reconciler(self.stack)

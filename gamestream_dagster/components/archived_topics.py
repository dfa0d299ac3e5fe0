"""The component `ArchivedTopics`: one asset for each topic that topics.yaml archives."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg

from gamestream_dagster.catalogue.sources import Source, stack_sources
from gamestream_dagster.clients.topic_identity import incarnation
from gamestream_dagster.components.keys import DEFAULT_OWNER, PROVEN_WITHIN, Group, archive_key, topic_key
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.reconciliation import Archive, Holdings
from gamestream_dagster.settings import load_settings

if TYPE_CHECKING:  # the writer brings pyarrow along, which weighs half a second
    from gamestream_dagster.archive.writer import ArchiveResult


class ArchivedTopics(dg.Component, dg.Model, dg.Resolvable):
    """`archive/<topic>_archive` for each topic with `archive: true`: its records as Parquet."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Read topics.yaml; no server is asked."""
        return build_archive_definitions(stack_sources(load_settings()).values())


def build_archive_definitions(sources: Iterable[Source]) -> dg.Definitions:
    """The assets of those of the streams that are archived."""
    return dg.Definitions(assets=[_archive_asset(source) for source in sources if source.archived])


def _archive_asset(source: Source) -> dg.AssetsDefinition:
    topic = source.topic

    @dg.asset(
        key=archive_key(topic),
        description=f"Every record of `{topic}` as Parquet, each offset range written once. Read by the recompute, "
        "straight from Kafka, so that it can witness what a streaming job lost.",
        group_name=Group.ARCHIVE.value,
        owners=[DEFAULT_OWNER],
        kinds={"parquet", "kafka"},
        tags={"layer": "archive"},
        metadata={"event_types": ", ".join(source.type_names)},
        freshness_policy=PROVEN_WITHIN,
        deps=[topic_key(topic)],
    )
    def archive_records(archive: dg.ResourceParam[Archive]) -> dg.MaterializeResult:
        """Archive up to the end offsets of now; what is archived already is not read again."""
        with explained(f"archive {topic}"):
            result = archive.bring_up_to_date(topic)
            total = archive.holdings(topic)
        return dg.MaterializeResult(metadata=describe_archive(result, total))

    return archive_records


def describe_archive(result: "ArchiveResult", total: Holdings) -> dict[str, Any]:
    """Metadata of one archiving: what the archive holds in all, what this run added, and the range by partition."""
    upto = result.archived_upto
    ranges = [
        (p, result.archived_from.get(p, 0), upto[p], upto[p] - result.archived_from.get(p, 0)) for p in sorted(upto)
    ]
    chapter = result.chapter
    beginning = {
        "chapter": chapter.reason,
        "begins": markdown_table(("partition", "first offset"), sorted(chapter.begins.items())),
    }
    return {
        "topic_id": incarnation(chapter.topic_id),
        **(beginning if result.opened or chapter.begins else {}),
        **({"not_indexed": result.not_indexed} if result.not_indexed else {}),
        "dagster/row_count": total.rows,
        "records": total.records,
        "files": total.files,
        "new_records": result.records,
        "new_refused": result.refused,
        "new_files": result.files,
        "orphans_removed": result.orphans_removed,
        "seconds": round(result.seconds, 2),
        "records_per_second": round(result.records / result.seconds) if result.seconds > 0 else 0,
        "ranges": markdown_table(("partition", "from offset", "next offset", "new offsets"), ranges),
    }

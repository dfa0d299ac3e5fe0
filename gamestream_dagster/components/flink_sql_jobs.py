"""The component `FlinkSqlJobs`: the folders of `flink_sql/` as assets, checks and a sensor."""

from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.components.columns import column_schema
from gamestream_dagster.components.flink_job_health import health_check, job_metadata
from gamestream_dagster.components.flink_job_sensor import INCIDENT_TAG, figures_from, health_sensor
from gamestream_dagster.components.keys import (
    DEVICE_TABLE,
    GEO_TABLE,
    RECORDED_WITHIN,
    Group,
    board_key,
    job_key,
    subject_key,
    table_key,
    topic_key,
)
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.resources.boards import BoardTables
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.flink_jobs import FlinkJobs
from gamestream_dagster.settings import Ranks, Season, load_settings
from gamestream_dagster.warehouse.described_tables import board_table

ON_REQUEST = "gamestream/on_request"
"""Tag of a job that is deployed only when it is named."""

# what the job manager writes for every job
RECORDS = ("deployments", "incidents")


class JobChoice(dg.Config):
    """What a person asks for on top of the folder when materialising a job."""

    choice: Choice = Field(
        default=Choice.NONE,
        description="NONE: as the folder says. RESUME, SUSPEND, REDEPLOY: the version that runs, through a savepoint. "
        "ROLLBACK: the last good version with its own state. KEEP: stay with the running version against the folder's "
        "change. REPLAY: give the state up and read all events again.",
    )


class FlinkSqlJobs(dg.Component, dg.Model, dg.Resolvable):
    """One Flink SQL job for each folder of a catalogue.

    A folder `<job>` with boards gives:
    - `job/<job>`: materialising it plans and executes until the job runs as its folder says, and leaves it running;
    - `board/<board>` for each board that it writes: materialising it records the rows as they stand;
    - the check `healthy` on the job.
    One sensor watches all jobs.
    """

    catalogue_dir: str = Field(description="Folder of the jobs, relative to the project's root.")
    health_interval_seconds: int = Field(default=30, ge=10, description="Seconds between two looks at the jobs.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Read the folders; no server is asked."""
        root = context.project_root / self.catalogue_dir
        if not root.is_dir():
            raise ValueError(f"catalogue_dir {self.catalogue_dir!r} is not a folder of {context.project_root.name}")
        kept = load_settings()
        return build_job_definitions(root, self.health_interval_seconds, kept.season, kept.ranks)


def build_job_definitions(
    root: Path, health_interval_seconds: int, season: Season = Season.NONE, ranks: Ranks = Ranks.BOARDS
) -> dg.Definitions:
    """Definitions of every job under `root` that a stack with this setting keeps."""
    jobs = load_jobs(root, season=season, ranks=ranks)
    assets: list[dg.AssetsDefinition] = []
    for spec in jobs.values():
        assets.append(_job_asset(spec))
        assets += [_board_asset(board, spec) for board in spec.outputs if board.sinks.postgres is not None]
    return dg.Definitions(
        assets=assets,
        asset_checks=[health_check(spec) for spec in jobs.values()],
        sensors=[health_sensor(jobs, health_interval_seconds)] if jobs else [],
    )


def job_dependencies(spec: JobSpec) -> list[dg.AssetKey]:
    """What must exist before the job runs: its topics, their schemas, its tables, records, enrichment data."""
    subjects = [subject.name for subject in load_subjects().values() if subject.topic in spec.reads]
    return [
        *(topic_key(topic) for topic in spec.reads),
        *(subject_key(subject) for subject in subjects),
        *(topic_key(topic) for topic in spec.topics_written),
        *(table_key(table) for table in spec.tables_written),
        *(table_key(table) for table in RECORDS),
        *((GEO_TABLE, DEVICE_TABLE) if RAW_TOPIC in spec.reads else ()),
    ]


def _job_asset(spec: JobSpec) -> dg.AssetsDefinition:
    @dg.asset(
        key=job_key(spec.name),
        description=f"{spec.description}\n\nMaterialising it brings the running job to this folder and leaves it "
        "running; nothing happens when the same version runs already.",
        group_name=Group.STREAMING.value,
        owners=list(spec.owners),
        kinds={"flink", "sql"},
        tags={
            "layer": "streaming",
            "upgrade_mode": spec.upgrade_mode.value,
            **({ON_REQUEST: "true"} if spec.on_request else {}),
        },
        deps=job_dependencies(spec),
        code_version=spec.code_version,
        metadata={
            "folder": f"flink_sql/{spec.name}",
            "reads": ", ".join(spec.reads),
            "writes": ", ".join((*spec.tables_written, *spec.topics_written)),
            "query": dg.MetadataValue.md(f"```sql\n{spec.query.text.strip()}\n```"),
        },
    )
    def job(
        context: dg.AssetExecutionContext, config: JobChoice, flink_jobs: dg.ResourceParam[FlinkJobs]
    ) -> dg.MaterializeResult:
        tags = context.run.tags
        # a run that nobody asked for brings back what was deployed and decides nothing
        choice = Choice.HEAL if INCIDENT_TAG in tags else config.choice
        with explained(f"apply the job {spec.name}", job=spec.name):
            deployment = flink_jobs.apply(spec.name, context.log.info, figures_from(tags), choice)
            observed = flink_jobs.observe(spec.name)
            incident = flink_jobs.incident(spec.name)
        return dg.MaterializeResult(metadata=job_metadata(deployment, observed, incident))

    return job


def _board_asset(board: Board, spec: JobSpec) -> dg.AssetsDefinition:
    terms = ", ".join(f"{term.column} {'descending' if term.descending else 'ascending'}" for term in board.order)
    order = f"Order: {terms}" if board.ranked else f"One row for each {' and '.join(board.key_columns)}"

    @dg.asset(
        key=board_key(board.name),
        description=f"{board.description}\n\n{order}. Kept live by {spec.name}; materialising it records the "
        "rows as they stand in Postgres.",
        group_name=Group.STREAMING.value,
        owners=[board.owner],
        kinds={"postgres", "kafka"},
        tags={"layer": "board", "job": spec.name},
        freshness_policy=RECORDED_WITHIN,
        deps=[job_key(spec.name)],
        metadata={
            "topic": board.topic,
            "table": board.name,
            "rows_at_most": board.rows,
            "dagster/column_schema": column_schema(board_table(board, sa.MetaData())),
        },
    )
    def read_board(boards: dg.ResourceParam[BoardTables]) -> dg.MaterializeResult:
        with explained(f"read the board {board.name}", board=board.name):
            found = boards.read(board)
        metadata: dict[str, Any] = {
            "dagster/row_count": len(found.rows),
            "rows": markdown_table(found.columns, found.rows),
        }
        return dg.MaterializeResult(metadata=metadata)

    return read_board

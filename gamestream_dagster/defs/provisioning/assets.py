"""What must exist before anything streams: topics, registry subjects, Postgres tables."""

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.catalogue.topics import load_topics
from gamestream_dagster.components.columns import column_schema
from gamestream_dagster.components.drift_sensor import drift_sensor
from gamestream_dagster.components.keys import DEFAULT_OWNER, subject_key, table_key, topic_key
from gamestream_dagster.components.provisioned import Described, provisioned
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.settings import TopicProfile, load_settings
from gamestream_dagster.warehouse.described_tables import load_metadata

DRIFT_INTERVAL_SECONDS = 300
BOARDS = load_boards(season=load_settings().season)
METRICS = load_metrics()


def _topics() -> list[Described]:
    # the profile changes partition counts alone, never which topics there are
    return [
        Described(
            key=topic_key(topic.name),
            name=topic.name,
            description=topic.description,
            owner=topic.owner,
            facts={"key": topic.key, **topic.config},
            tags={"board": topic.board} if topic.board else {},
        )
        for topic in load_topics(TopicProfile.LAPTOP, boards=BOARDS).values()
    ]


def _subjects() -> list[Described]:
    return [
        Described(
            key=subject_key(subject.name),
            name=subject.name,
            description=subject.description or f"Schema of the records of {subject.topic}.",
            owner=DEFAULT_OWNER,
            facts={"topic": subject.topic, "fields": len(subject.schema["fields"])},
        )
        for subject in load_subjects().values()
    ]


def _tables() -> list[Described]:
    found = []
    for table in load_metadata(BOARDS).sorted_tables:
        board, metric = BOARDS.get(table.name), METRICS.get(table.name)
        told = f"Rows of the board {board.title}. {board.description}" if board else table.comment or ""
        about = {"board": table.name} if board else {"metric": table.name} if metric else {"system": "true"}
        found.append(
            Described(
                key=table_key(table.name),
                name=table.name,
                description=f"Rows of the metric {metric.title}. {told}" if metric else told,
                owner=board.owner if board else metric.owner if metric else DEFAULT_OWNER,
                facts={"dagster/column_schema": column_schema(table)},
                tags=about,
            )
        )
    return found


_DESCRIBED = {ResourceKind.TOPIC: _topics(), ResourceKind.SUBJECT: _subjects(), ResourceKind.TABLE: _tables()}
topics, topic_drift = provisioned(ResourceKind.TOPIC, "kafka", _DESCRIBED[ResourceKind.TOPIC], topic_key)
subjects, subject_drift = provisioned(ResourceKind.SUBJECT, "avro", _DESCRIBED[ResourceKind.SUBJECT], subject_key)
tables, table_drift = provisioned(ResourceKind.TABLE, "postgres", _DESCRIBED[ResourceKind.TABLE], table_key)
drift = drift_sensor(
    {kind: {one.name: one.key for one in described} for kind, described in _DESCRIBED.items()}, DRIFT_INTERVAL_SECONDS
)

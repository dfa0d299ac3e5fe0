"""The SQL of the first demo (factorhouse, Apache-2.0) unchanged except for addresses, format and start.

The repository holds no copy of it: `--reference` names a folder with the demo's scripts. Its queries and settings, the
four jobs of its first version with Kafka sinks, stay unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Consumer, TopicPartition

from bench import gate
from bench.dataset import Dataset
from bench.flink_runs import Bounds, Job, topic_options
from bench.results import BenchError
from gamestream_dagster.catalogue.boards import ColumnType
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.spec.sql_text import Statement, split
from gamestream_dagster.flink_jobs.target.render import RenderedJob
from gamestream_dagster.settings import Settings, TopicFormat

TABLES = "v1_00-qry-ddl.sql"
JOBS = ("v1_01-top-teams.sql", "v1_02-top-players.sql", "v1_03-hot-streaks.sql", "v1_04-team-mvps.sql")
# Of its catalogue server and its jar folder: neither exists here, and neither affects the cost of a query.
_LEFT_OUT = (("USE",), ("CREATE", "DATABASE"), ("DROP", "TABLE"), ("ADD", "JAR"))
_STRINGS = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True)
class Place:
    """Where the scripts run."""

    bootstrap: str
    registry: str
    topic: str
    bounds: Bounds
    score_format: TopicFormat
    prefix: str = "bench-seed-"  # of its board topics, which bear the names of ours


def jobs_of(folder: Path, place: Place) -> list[Job]:
    """The four jobs.

    Raises:
        BenchError: a script is missing, or is not what this was written for.
    """
    definitions = tuple(_table(one, place) for one in _statements(_read(folder, TABLES)))
    return [_job(_statements(_read(folder, name)), name, definitions) for name in JOBS]


def board_topics(folder: Path, place: Place) -> list[str]:
    """The topics that the jobs write to."""
    found = [_option(one, "topic") for one in _statements(_read(folder, TABLES)) if "upsert-kafka" in one.text]
    return [place.prefix + name for name in found]


def make_topics(settings: Settings, names: Sequence[str]) -> None:
    """Empty board topics, as ours are: compacted, one partition."""
    admin = KafkaAdmin(settings.kafka)
    for name in names:
        if admin.describe(name) is not None:
            admin.delete(name)
        admin.create(name, 1, {"cleanup.policy": "compact"})


def place_of(settings: Settings, dataset: Dataset, bounds: Bounds) -> Place:
    """Where the scripts run for a dataset."""
    return Place(settings.kafka.bootstrap, settings.registry.url, dataset.topic, bounds, dataset.score_format)


def _read(folder: Path, name: str) -> str:
    found = sorted(folder.glob(f"*{name}"))
    if len(found) != 1:
        raise BenchError(f"{folder} holds {len(found)} files named *{name}; give the folder of the demo's SQL scripts")
    return found[0].read_text(encoding="utf-8")


def _statements(text: str) -> list[Statement]:
    return [one for one in split(text) if not any(one.begins(*words) for words in _LEFT_OUT)]


def _job(statements: Sequence[Statement], name: str, tables: tuple[str, ...]) -> Job:
    *settings, insert = statements
    options: dict[str, str] = {}
    for one in settings:
        found = _STRINGS.findall(one.text)
        if not one.begins("SET") or len(found) != 2:
            raise BenchError(f"{name}: {one.text[:60]!r} is not a SET of one option; this is not the known script")
        options[found[0]] = found[1]
    if not insert.begins("INSERT"):
        raise BenchError(f"{name}: the last statement is not an INSERT; this is not the known script")
    options.pop("pipeline.name", None)  # each run has a name of its own
    return Job(name.removesuffix(".sql"), RenderedJob(tables, insert.text), options)


def _table(statement: Statement, place: Place) -> str:
    """A table of the demo, over this stack's addresses."""
    text = statement.text
    source = "'connector' = 'kafka'" in text
    topic = _option(statement, "topic")
    avro = place.score_format is TopicFormat.AVRO
    # The board topics are always JSON: reads decide the cost of a format, a million to ten.
    text = _formats(text, place.registry if source and avro else None)
    text = re.sub(r"('properties\.bootstrap\.servers'\s*=\s*)'[^']*'", rf"\1'{place.bootstrap}'", text)
    if source:
        text = re.sub(r"('scan\.startup\.mode'\s*=\s*)'[^']*'", r"\1'earliest-offset'", text)
        chosen = topic_options(place.topic, place.bounds)
    else:
        chosen = topic_options(place.prefix + topic, None)
    return re.sub(r"'topic'\s*=\s*'[^']*'", lambda _: chosen, text)


def _formats(text: str, registry: str | None) -> str:
    """Every `avro-confluent` becomes JSON, or goes to `registry` without its credentials."""
    text = re.sub(r"\s*'(?:key\.|value\.)?avro-confluent\.[^']*'\s*=\s*'[^']*',", "", text)
    if registry is None:
        return text.replace("'avro-confluent'", "'json'")
    return text.replace("'avro-confluent'", f"'avro-confluent',\n  'avro-confluent.url' = '{registry}'")


def _option(statement: Statement, name: str) -> str:
    found = re.findall(rf"'{re.escape(name)}'\s*=\s*'([^']*)'", statement.text)
    if len(found) != 1:
        raise BenchError(f"{statement.text[:60]!r} has no option {name!r}; it is not the script that is known")
    return found[0]


def rows_alike(settings: Settings, place: Place, expected: gate.Truth) -> dict[str, str]:
    """How many rows of each board without a window agree with the recompute in all shared integers and texts.

    Reported, not required: the demo breaks ties of shares at random, and merges teams with one name.
    """
    found: dict[str, str] = {}
    for name, board in gate.boards().items():
        if board.window is None:
            shown, wanted = rows_in(settings, place.prefix + board.topic), expected.rows[name]
            shared = [key for key, column in board.columns.items() if column.type is not ColumnType.DOUBLE]
            alike = sum(
                all(row[key] == other[key] for key in shared if key in row)
                for row, other in zip(shown, wanted, strict=False)
            )
            found[name] = f"{alike} of {len(wanted)}"
    return found


def rows_in(settings: Settings, topic: str) -> list[dict[str, object]]:
    """A board as the demo's topic holds it: the newest record of each rank, by rank."""
    admin = KafkaAdmin(settings.kafka)
    left = {part: end for part, end in admin.end_offsets(topic).items() if end}
    consumer = Consumer(settings.kafka.options({"group.id": "bench", "enable.auto.commit": False}))
    newest: dict[bytes, bytes | None] = {}
    try:
        consumer.assign([TopicPartition(topic, part, 0) for part in left])
        while left:
            batch = consumer.consume(10_000, timeout=10)
            if not batch:
                raise BenchError(f"{topic} was not read to its end within 10 s; run again")
            for message in batch:
                newest[message.key() or b""] = message.value()  # pyright: ignore[reportArgumentType]
                if (message.offset() or 0) + 1 >= left.get(message.partition() or 0, 0):
                    left.pop(message.partition() or 0, None)
    finally:
        consumer.close()
    rows = [orjson.loads(value) for value in newest.values() if value is not None]
    return sorted(rows, key=lambda row: row["rnk"])

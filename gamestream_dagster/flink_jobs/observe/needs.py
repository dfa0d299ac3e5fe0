"""What must exist before a job can run: its topics, tables and subjects, as its SQL names them.

A job without one of them is submitted all the same by Flink, and then fails again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import inspect

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import stack_sources
from gamestream_dagster.catalogue.topics import load_topics
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.flink_jobs.linter.lexemes import statements_of
from gamestream_dagster.flink_jobs.linter.shapes import target
from gamestream_dagster.flink_jobs.linter.statements import Kind
from gamestream_dagster.flink_jobs.linter.tables import Table, declared
from gamestream_dagster.flink_jobs.target.targets import Target
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.ledger_parts import PREFIX, ledger_part

_AVRO_FORMATS = ("gamestream-avro", "avro-confluent")
_TOPICS_FILE = "gamestream_dagster/catalogue/topics.yaml"
_NO_OUTPUT = "create it in Postgres, or describe it as an output, then apply again"
_NO_STREAM = f"it is the ledger of a topic that is no stream: describe the topic in {_TOPICS_FILE}, then apply again"


@dataclass(frozen=True)
class Needs:
    """What a job's SQL names on this stack's own servers. `tables`: with the columns that it reads or writes."""

    topics: tuple[str, ...] = ()
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    subjects: tuple[str, ...] = ()


def needs_of(job: Target, kafka: str, jdbc_url: str) -> Needs:
    """What the job's SQL names; what lives on other servers is left out.

    Args:
        job: with the values filled in.
        kafka: bootstrap servers of the stack.
        jdbc_url: address of the stack's database.
    """
    text = ";\n".join((*job.rendered.definitions, job.rendered.statement_set))
    statements = statements_of(text, job.spec.name)
    sinks = {target(one) for one in statements if one.kind is Kind.INSERT}
    topics, subjects = dict[str, None](), dict[str, None]()
    tables: dict[str, tuple[str, ...]] = {}
    for table in (declared(one) for one in statements if one.kind is Kind.TABLE):
        connector, at, topic = (_value(table, name) for name in ("connector", "properties.bootstrap.servers", "topic"))
        if connector in ("kafka", "upsert-kafka") and at == kafka:
            topics |= dict.fromkeys(filter(None, (one.strip() for one in topic.split(";"))))
            if _value(table, "format") in _AVRO_FORMATS and table.name not in sinks:
                subjects |= {_value(table, "avro-confluent.subject") or f"{topic}-value": None}
        elif connector == "jdbc" and _value(table, "url").partition("?")[0] == jdbc_url.partition("?")[0]:
            columns = tuple(name for name, kind in table.types.items() if kind != "AS")
            tables[_value(table, "table-name")] = columns
    return Needs(tuple(topics), tables, tuple(subjects))


def _value(table: Table, option: str) -> str:
    found = table.options.get(option)
    return found.value if found else ""


def missing(settings: Settings, job: Target) -> tuple[str, ...]:
    """What the job needs and the stack does not have, a sentence each, with what makes it.

    Raises:
        ServiceError: Kafka, Postgres or the registry gives no answer.
    """
    needs = needs_of(job, settings.kafka.bootstrap, settings.jdbc_url)
    return (*_topics(settings, needs), *_tables(settings, needs), *_subjects(settings, needs))


def _topics(settings: Settings, needs: Needs) -> Iterator[str]:
    if not needs.topics:
        return
    there = KafkaAdmin(settings.kafka).topics()
    known = load_topics(settings.topic_profile, boards=load_boards(season=settings.season, ranks=settings.ranks))
    for name in needs.topics:
        if name not in there:
            made = _made(name in known, f"declare it in {_TOPICS_FILE}, then run `gamestream apply`")
            yield f"the topic {name} does not exist; {made}"


def _tables(settings: Settings, needs: Needs) -> Iterator[str]:
    if not needs.tables:
        return
    known = {
        *load_metadata(load_boards(season=settings.season, ranks=settings.ranks)).tables,
        *map(ledger_part, stack_sources(settings)),
    }
    with _columns(settings) as columns_of:
        for name, columns in needs.tables.items():
            there = columns_of(name)
            if there is None:
                made = _made(name in known, _NO_STREAM if name.startswith(PREFIX) else _NO_OUTPUT)
                yield f"the table {name} does not exist; {made}"
            elif lacking := [one for one in columns if one not in there and one.lower() not in there]:
                listed = ", ".join(one.lower() for one in lacking)
                yield f"the table {name} has no column {listed}; {_made(name in known, 'add it in Postgres')}"


def _subjects(settings: Settings, needs: Needs) -> Iterator[str]:
    if not needs.subjects:
        return
    known = {subject for source in stack_sources(settings).values() for subject in source.subjects}
    with Registry(settings.registry) as registry:
        there = set(registry.subjects())
    for name in needs.subjects:
        if name not in there:
            made = _made(name in known, "register its schema, then apply again")
            yield f"the subject {name} is not in the schema registry; {made}"


def _made(by_apply: bool, otherwise: str) -> str:
    return "`gamestream apply` makes it" if by_apply else otherwise


@contextmanager
def _columns(settings: Settings) -> Generator[Callable[[str], Iterable[str] | None]]:
    """Columns of a table, `schema.table` or by the search path; None where it does not exist."""
    with open_engine(settings) as engine, engine.connect() as connection:
        inspector = inspect(connection)

        def columns_of(name: str) -> set[str] | None:
            schema, _, table = name.rpartition(".")
            if not inspector.has_table(table, schema or None):
                return None
            return {column["name"] for column in inspector.get_columns(table, schema or None)}

        yield columns_of

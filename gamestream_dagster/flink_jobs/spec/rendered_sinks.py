"""A job's sinks as SQL, rendered from the descriptions of its outputs: tables, the ledger, and the statement set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from sqlalchemy import BigInteger, Integer, Text
from sqlalchemy.types import TypeEngine

from gamestream_dagster.catalogue.boards import Board, Column, ColumnType
from gamestream_dagster.flink_jobs.spec.job_spec import SqlFile
from gamestream_dagster.flink_jobs.spec.stream_outputs import StreamColumn, StreamOutput, StreamType
from gamestream_dagster.warehouse.ledger_parts import JOB_KEY, ledger_part
from gamestream_dagster.warehouse.tables import job_ledger

RENDERED = "sinks.sql (rendered)"
"""Stands for a file name in messages; `gamestream jobs show <job> --sql` prints the text."""

_TEMPLATES = Path(__file__).with_name("templates")
_LEDGER_TYPES: dict[type[TypeEngine[Any]], str] = {Text: "STRING", Integer: "INT", BigInteger: "BIGINT"}
_TYPES = {
    ColumnType.BIGINT: "BIGINT",
    ColumnType.STRING: "STRING",
    ColumnType.DOUBLE: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
}
_RESERVED = frozenset({
    "second", "minute", "hour", "day", "week", "month", "year", "date", "time", "timestamp", "value", "final", "user",
    "variant", "start", "end", "result", "method", "position", "language", "range", "row", "rows", "rank", "percent",
    "offset", "order", "group", "match", "interval",
})  # fmt: skip
"""Words of SQL that a column is likely to have as its name."""


@dataclass(frozen=True)
class LedgerViews:
    """The views that a job's ledger of one topic counts: every record that could be read, and every one that counts."""

    topic: str
    checked: str
    counted: str
    copies: bool = True  # whether the job counts its copies; without it `duplicate` stays NULL


def rendered_sinks(
    job: str, outputs: Sequence[Board], ledgers: Sequence[LedgerViews], streams: Sequence[StreamOutput] = ()
) -> SqlFile:
    """The tables of outputs, stream outputs and ledgers, then one INSERT for each, in one statement set.

    Args:
        job: name of the job.
        outputs: in the order of the INSERTs; the view with an output's name feeds it.
        streams: the stream outputs, likewise.
        ledgers: by topic; none for topics whose sources do not say which records they refuse.
    """
    tables, inserts = list[str](), list[str]()
    for output in outputs:
        for sink in _sinks(job, output):
            tables.append(sink.table)
            inserts.append(sink.insert)
    for stream in streams:
        tables.append(_stream_table(job, stream))
        columns = ", ".join(map(_quoted, stream.columns))
        inserts.append(_filled("insert", table=f"{stream.name}_stream", columns=columns, view=stream.name))
    for ledger in ledgers:
        # an only ledger keeps the names that its plan has always had
        made = _ledger(ledger, "" if len(ledgers) == 1 else f"_of_{ledger.topic.replace('-', '_')}")
        tables.append(made.table)
        inserts.append(made.insert)
    statements = [*tables, _filled("statement_set", inserts="\n".join(one.strip() for one in inserts))]
    return SqlFile(path=f"{job}/{RENDERED}", text="\n".join(statements))


@dataclass(frozen=True)
class _Sink:
    table: str
    insert: str


def _sinks(job: str, output: Board) -> list[_Sink]:
    common = {"job_name": job, "output": output.name, "key": ", ".join(map(_named, output.key_columns))}
    made: list[_Sink] = []
    if output.sinks.kafka is not None:
        kafka = output.sinks.kafka
        table = _filled(
            "kafka_sink",
            **common,
            columns=_columns(output, as_text=False),
            topic=output.topic,
            delivery=kafka.delivery,
            transaction_timeout_ms=str(kafka.transaction_timeout_seconds * 1000),
        )
        made.append(_Sink(table, _insert(output, "topic", as_text=False)))
    if output.sinks.postgres is not None:
        postgres = output.sinks.postgres
        timed = any(column.type is ColumnType.TIMESTAMP for column in output.columns.values())
        table = _filled(
            "postgres_sink",
            **common,
            columns=_columns(output, as_text=True),
            url="'${jdbc_url}&stringtype=unspecified'" if timed else "${jdbc_url}",
            flush_rows=str(postgres.flush_rows),
            flush_interval=postgres.flush_interval,
            max_retries=str(postgres.max_retries),
        )
        made.append(_Sink(table, _insert(output, "table", as_text=True)))
    return made


def _stream_table(job: str, stream: StreamOutput) -> str:
    return _filled(
        "stream_sink" if stream.value is None else "stream_sink_of_bytes",
        job_name=job,
        output=stream.name,
        columns=", ".join(f"{_quoted(name)} {_stream_type(column)}" for name, column in stream.columns.items()),
        topic=stream.topic,
        key=stream.key,
        delivery=stream.delivery,
        transaction_timeout_ms=str(stream.transaction_timeout_seconds * 1000),
    )


def _stream_type(column: StreamColumn) -> str:
    if column.type is StreamType.TIMESTAMP:
        return "TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'"
    return column.type.value.upper()


def _named(name: str) -> str:
    """Quoted only where it must be: the text of a job's sinks is part of its fingerprint."""
    return _quoted(name) if name in _RESERVED else name


def _quoted(name: str) -> str:
    """A game may name a field with a reserved word of SQL."""
    return f"`{name}`"


def _ledger(views: LedgerViews, suffix: str) -> _Sink:
    """The ledger of one topic. The topic is a constant of the table's part, not a column that the job writes."""
    columns = {column.name: _LEDGER_TYPES[type(column.type)] for column in job_ledger.columns if column.name != "topic"}
    table = _filled(
        "ledger",
        topic=views.topic,
        suffix=suffix,
        checked=views.checked,
        counted=views.counted,
        columns=", ".join(f"{name} {kind}" for name, kind in columns.items()),
        key=", ".join(JOB_KEY),
        part=ledger_part(views.topic),
    )
    view = f"ledger{suffix}" if views.copies else f"ledger{suffix}_without_copies"
    return _Sink(table, _filled("insert", table=f"ledger{suffix}_table", columns=", ".join(columns), view=view))


def _columns(output: Board, *, as_text: bool) -> str:
    return ", ".join(
        f"{_named(name)} {_type(output, name, column, as_text)}" for name, column in output.columns.items()
    )


def _type(output: Board, name: str, column: Column, as_text: bool) -> str:
    if column.type is not ColumnType.TIMESTAMP:
        return _TYPES[column.type]
    return "STRING" if as_text or name in output.key_columns else "TIMESTAMP_LTZ(3)"


def _insert(output: Board, kind: str, *, as_text: bool) -> str:
    """Every column of the view; a time that is no part of the key becomes text for Postgres.

    In a key the view gives the text itself: a cast in the INSERT would hide from the planner that it is the key.
    """
    selected = [
        f"CAST({_named(name)} AS STRING) || '+00'"
        if as_text and column.type is ColumnType.TIMESTAMP and name not in output.key_columns
        else _named(name)
        for name, column in output.columns.items()
    ]
    return _filled("insert", table=f"{output.name}_{kind}", columns=", ".join(selected), view=output.name)


@cache
def _template(name: str) -> Template:
    return Template((_TEMPLATES / f"{name}.sql").read_text(encoding="utf-8"))


def _filled(name: str, **parts: str) -> str:
    """A template with identifiers and checked options put in; the stack's own placeholders stay for the submission."""
    return _template(name).safe_substitute(parts)

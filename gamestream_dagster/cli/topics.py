"""`gamestream topic tail`: the last records of a topic, decoded."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite, isnan
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.events.tail import TailedRecord
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)
MOST = 10_000
FOLLOW_SECONDS = 0.5
SHOWN_CHARACTERS = 2_000  # of one value per line for people; --json prints it whole


def register(app: typer.Typer) -> None:
    """Add the command group."""
    topics = typer.Typer(help="Kafka topics: read their records.", no_args_is_help=True)
    topics.command("tail")(tail)
    app.add_typer(topics, name="topic", rich_help_panel=panels.EVENTS)


def tail(  # noqa: PLR0917 (one parameter an option)
    topic: Annotated[str, typer.Argument(help="Name of the topic, such as user-score.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=MOST, help="Number of last records.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing new records until interrupted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout.")] = False,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Show the last committed records of a topic, oldest first; JSON and Avro values are decoded."""
    from gamestream_dagster.clients.kafka_admin import KafkaAdmin
    from gamestream_dagster.clients.registry import Registry
    from gamestream_dagster.events.tail import RecordReader, last_records, records_between

    settings = settings_from(home, port_base)
    show = _print_json if as_json else _print
    with as_could_not_run(), Registry(settings.registry) as registry:
        _known(settings, topic)
        admin, reader = KafkaAdmin(settings.kafka), RecordReader(registry)
        incarnation, at = admin.topic_id(topic), admin.end_offsets(topic, read_committed=True)
        for record in last_records(settings.kafka, topic, admin.beginning_offsets(topic), at, lines):
            show(record, reader.read(record.key), reader.read(record.value))
        try:
            while follow:
                time.sleep(FOLLOW_SECONDS)
                ends = admin.end_offsets(topic, read_committed=True)
                if admin.topic_id(topic) != incarnation:
                    raise CouldNotRun(f"{topic} was deleted and created again; run the command again for the new one.")
                for record in records_between(settings.kafka, topic, at, ends):
                    show(record, reader.read(record.key), reader.read(record.value))
                at = ends
        except KeyboardInterrupt:
            return


def _known(settings: Settings, topic: str) -> None:
    from gamestream_dagster.clients.kafka_admin import KafkaAdmin

    known = sorted(name for name in KafkaAdmin(settings.kafka).topics() if not name.startswith("__"))
    if topic not in known:
        there = f"the topics are: {', '.join(known)}" if known else "there are none yet; create them: gamestream apply"
        raise CouldNotRun(f"There is no topic {topic!r}; {there}.")


def _print(record: TailedRecord, key: Any, value: Any) -> None:
    shown = _text(value)
    if len(shown) > SHOWN_CHARACTERS:
        shown = f"{shown[:SHOWN_CHARACTERS]} … ({len(shown):,} characters; --json shows all)"
    typer.echo(f"p{record.partition}@{record.offset}  {_time(record.timestamp)}  {_text(key)}  {shown}")


def _text(value: Any) -> str:
    """On one line, control characters as escapes: records are untrusted input."""
    from gamestream_dagster.reconciliation.results.report_view import visible

    text = value if isinstance(value, str) else json.dumps(_finite(value), ensure_ascii=False, default=_plain)
    return visible(text).replace("\n", "[U+000A]").replace("\t", "[U+0009]")


def _print_json(record: TailedRecord, key: Any, value: Any) -> None:
    place: Mapping[str, Any] = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": _finite(key),
        "value": _finite(value),
    }
    typer.echo(json.dumps(place, default=_plain))


def _finite(value: Any) -> Any:
    """NaN and infinities, which Avro holds and JSON does not, as their text."""
    match value:
        case float() if not isfinite(value):
            return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {name: _finite(one) for name, one in value.items()}
        case list():
            return [_finite(one) for one in value]
        case _:
            return value


def _plain(value: object) -> str:
    """What Avro has and JSON lacks: bytes as hexadecimal digits; times, decimals and UUIDs as text."""
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _time(millis: int) -> str:
    try:
        return f"{datetime.fromtimestamp(millis / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    except (OverflowError, ValueError, OSError):
        return f"{millis} ms"

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
"""The suites of the topics that intake writes: enriched, late and dead letters.

Their newest records are read from Kafka and counted by partition, with the faults that no record may have. No event
leaves this module: the pages show counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import orjson
import pandas as pd
from great_expectations import expectations as gxe

from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.events.game_outcome import GameReason
from gamestream_dagster.fates.outputs import CHUNK_RECORDS, OUTPUT_TOPICS, Fate, written
from gamestream_dagster.settings import Settings
from quality.results import QualityError, Severity, SuiteState
from quality.suites.suite import GX_SEVERITY, Emptiness, Frame, Suite

NEWEST: Final = 50_000
"""Records of each partition that are read, the newest ones."""

_HEX: Final = frozenset("0123456789abcdef")
_DIGEST_CHARACTERS: Final = 32
_ALWAYS: Final = ("event_id", "event_type", "event_time_millis", "environment", "properties", "digest")

# Counts that must be nought, and what then holds.
_OF_ALL: Final = {
    "foreign": "Every record is one of the job's, and names a position of the raw topic",
    "repeated": "No two records are about one position",
}
_OF_ACCEPTED: Final = _OF_ALL | {
    "incomplete": "Id, type, time, environment, properties and digest are there",
    "unknown_type": "The catalogue knows every event type",
    "bad_digest": "Every digest has 32 hexadecimal digits",
    "bad_properties": "The properties are a JSON object",
    "bad_environment": "The environment is production or sandbox",
    "with_address": "No record holds an address",
}
_OF_ENRICHED: Final = _OF_ACCEPTED | {
    "wrong_calendar": "Date, hour and day of the week are those of the event's time, UTC",
    "not_enriched": "Country, device category and tier are there, `unknown` where nothing is known",
}
_OF_DEAD: Final = _OF_ALL | {
    "unknown_reason": "Every reason is one of docs/game-events.md",
    "without_sentence": "Every letter says what to do",
    "two_contents": "No letter has its content twice",
}
_FORBIDDEN: Final[Mapping[Fate, Mapping[str, str]]] = {
    Fate.ENRICHED: _OF_ENRICHED,
    Fate.LATE: _OF_ACCEPTED,
    Fate.DEAD: _OF_DEAD,
}
_TITLES: Final = {
    Fate.ENRICHED: "Enriched game events",
    Fate.LATE: "Late game events",
    Fate.DEAD: "Dead letters",
}


def suite(name: str, fate: Fate, settings: Settings) -> Suite:
    """The newest records of one output, with a row for each partition."""
    nought = [
        gxe.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=0,
            max_value=0,
            description=sentence,
            # a job that was told to read everything again writes everything again
            severity=GX_SEVERITY[Severity.WARNING if column == "repeated" else Severity.CRITICAL],
        )
        for column, sentence in _FORBIDDEN[fate].items()
    ]
    return Suite(
        name=name,
        title=_TITLES[fate],
        rows=Frame(
            source=OUTPUT_TOPICS[fate],
            read=partial(read_partitions, settings, fate),
            is_empty=partial(holds_nothing, settings, fate),
        ),
        expectations=(
            gxe.ExpectTableRowCountToBeBetween(min_value=1, description="A partition holds records"),
            gxe.ExpectColumnValuesToBeBetween(column="records", min_value=1, description="No row is empty"),
            *nought,
        ),
        when_empty=partial(empty_output, fate),
    )


def holds_nothing(settings: Settings, fate: Fate) -> bool:
    """Whether the output holds no record. Where nobody can tell, `read_partitions` says why."""
    topic, admin = OUTPUT_TOPICS[fate], KafkaAdmin(settings.kafka)
    try:
        return admin.beginning_offsets(topic) == admin.end_offsets(topic, read_committed=True)
    except ServiceError:
        return False


def empty_output(fate: Fate, settings: Settings) -> Emptiness:
    """Whether it is right that the output holds nothing: only where nothing came in."""
    topic = OUTPUT_TOPICS[fate]
    try:
        came = sum(KafkaAdmin(settings.kafka).end_offsets(RAW_TOPIC).values())
    except ServiceError as error:
        return Emptiness(SuiteState.FAILS, f"{topic} is empty, and {RAW_TOPIC} could not be asked: {error}")
    if came == 0:
        return Emptiness(SuiteState.HOLDS, f"{topic} is empty, and {RAW_TOPIC} has never held a record.")
    return Emptiness(
        SuiteState.NOT_RUN,
        f"{topic} holds no record; `gamestream reconcile --intake` says whether that is right.",
    )


def read_partitions(settings: Settings, fate: Fate) -> pd.DataFrame:
    """One row for each partition with records: counts, and the faults that are forbidden.

    Raises:
        QualityError: Kafka does not return the records.
    """
    topic, admin = OUTPUT_TOPICS[fate], KafkaAdmin(settings.kafka)
    faults: dict[int, Counter[str]] = {}
    seen: dict[int, set[tuple[int, int]]] = {}
    try:
        begins, ends = admin.beginning_offsets(topic), admin.end_offsets(topic, read_committed=True)
        start = {part: max(begins.get(part, 0), end - NEWEST) for part, end in ends.items()}
        for chunk in read_range(settings.kafka, topic, start, ends, batch_records=CHUNK_RECORDS[fate]):
            counted = faults.setdefault(chunk.partition, Counter())
            places = seen.setdefault(chunk.partition, set())
            for value in chunk.raw.values:
                counted["records"] += 1
                counted.update(faults_of(fate, value, places))
    except ServiceError as error:
        raise QualityError(f"{topic} cannot be read: {error}") from error
    columns = ("records", *_FORBIDDEN[fate])
    rows = [
        {"topic": topic, "partition_id": part, **{name: counted[name] for name in columns}}
        for part, counted in sorted(faults.items())
        if counted["records"]
    ]
    return pd.DataFrame(rows, columns=pd.Index(["topic", "partition_id", *columns]))


def faults_of(fate: Fate, value: bytes | None, places: set[tuple[int, int]]) -> Iterator[str]:
    """The names of a record's faults.

    Args:
        fate: of the topic that holds it.
        value: the record's value.
        places: positions that earlier records were about; this one's is added.
    """
    about = written(fate, value)
    if about is None:
        yield "foreign"
        return
    place = about.partition, about.offset
    if place in places:
        yield "repeated"
    places.add(place)
    found: dict[str, Any] = orjson.loads(value or b"")
    yield from _of_letter(found) if fate is Fate.DEAD else _of_accepted(found)
    if fate is Fate.ENRICHED:
        yield from _of_enriched(found)


def _of_letter(found: Mapping[str, Any]) -> Iterator[str]:
    if found.get("reason") not in _REASONS:
        yield "unknown_reason"
    if not found.get("sentence"):
        yield "without_sentence"
    if found.get("content") is not None and found.get("content_base64") is not None:
        yield "two_contents"


def _of_accepted(found: Mapping[str, Any]) -> Iterator[str]:
    if any(found.get(name) in (None, "") for name in _ALWAYS):
        yield "incomplete"
    if found.get("event_type") not in load_game_events().types:
        yield "unknown_type"
    digest = str(found.get("digest"))
    if len(digest) != _DIGEST_CHARACTERS or not _HEX.issuperset(digest):
        yield "bad_digest"
    if not _is_object(found.get("properties")):
        yield "bad_properties"
    if found.get("environment") not in ("production", "sandbox"):
        yield "bad_environment"
    if "ip_address" in found:
        yield "with_address"


def _of_enriched(found: Mapping[str, Any]) -> Iterator[str]:
    if not _in_calendar(found):
        yield "wrong_calendar"
    if any(not found.get(name) for name in ("country", "device_category", "device_tier")):
        yield "not_enriched"


def _in_calendar(found: Mapping[str, Any]) -> bool:
    millis = found.get("event_time_millis")
    if type(millis) is not int or not 0 <= millis < 253_402_300_800_000:
        return False
    at = datetime.fromtimestamp(millis // 1000, UTC)
    told = found.get("event_date"), found.get("event_hour"), found.get("day_of_week")
    return told == (f"{at:%Y-%m-%d}", at.hour, at.isoweekday())


def _is_object(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


_REASONS: Final = frozenset(reason.value for reason in GameReason)

"""The judge of game events: a record's bytes and Kafka timestamp to its outcome, by `catalogue.game_rules`.

The rule is stated there. Every implementation is tested on `tests/support/game_event_cases.yaml`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gamestream_dagster.catalogue.game_event import GameCatalogue, GameEventType, GameFieldType, load_game_events
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.events.avro_document import AvroDocuments
from gamestream_dagster.events.avro_reading import NotAvroError, NotUtf8Error
from gamestream_dagster.events.avro_schemas import is_framed
from gamestream_dagster.events.avro_shape import UnusableSchemaError
from gamestream_dagster.events.derived import NO_FIELDS, derived_fields
from gamestream_dagster.events.game_checks import Check, Problem, check_of, wrong_type
from gamestream_dagster.events.game_outcome import GameEvent, GameOutcome, GameReason, GameRefused
from gamestream_dagster.events.outcome import Remark
from gamestream_dagster.events.strict_json import (
    BigInteger,
    Json,
    NotStrictJsonError,
    NotStrictUtf8Error,
    StrictJsonReader,
    bad_text,
    canonical,
)

_RANK: Final = {reason: place for place, reason in enumerate(GameReason)}
_DIGEST_CHARACTERS: Final = 32
_SHOWN: Final = 40
_SHOWN_PATH: Final = 80


@dataclass(frozen=True, slots=True)
class _Field:
    """One field, ready to be judged."""

    name: str
    path: str
    names: tuple[str, ...]
    check: Check
    required: bool
    empty_is_absent: bool
    default: str | None = None


@dataclass(frozen=True, slots=True)
class _Type:
    event: GameEventType
    required: frozenset[str]
    fields: tuple[_Field, ...]
    known: frozenset[str]


class _Findings:
    """The first problem of a record, by the order of the reasons, then by the order in which it was found."""

    __slots__ = ("first", "rank")

    def __init__(self) -> None:
        self.first: GameRefused | None = None
        self.rank = len(_RANK)

    def add(self, path: str | None, problem: Problem) -> None:
        rank = _RANK[problem.reason]
        if rank < self.rank:
            self.rank = rank
            self.first = GameRefused(problem.reason, path, f"{path or 'the record'} {problem.said}")


class GameEventJudge:
    """What becomes of game events. Safe to share between threads.

    Args:
        catalogue: the rule; None: the project's.
        registry: of the schemas of Avro records; None: these are refused.
    """

    def __init__(self, catalogue: GameCatalogue | None = None, registry: Registry | None = None) -> None:
        self.catalogue = catalogue = load_game_events() if catalogue is None else catalogue
        self._reader = StrictJsonReader(catalogue.limits)
        self._avro = None if registry is None else AvroDocuments(catalogue, registry)
        self._times = catalogue.times
        self._envelope = self._fields(catalogue.fields, "")
        self._names = frozenset(catalogue.fields)
        self._required = frozenset(name for name, field in catalogue.fields.items() if field.required)
        self._undigested = [name for name, field in catalogue.fields.items() if not field.in_digest]
        self._types = {name: self._type(event) for event in catalogue.types.values() for name in event.names}

    def judge(self, value: bytes | None, kafka_timestamp: int) -> GameOutcome:
        """What becomes of one record.

        Args:
            value: the record's value as it is in Kafka; None for a tombstone.
            kafka_timestamp: the record's timestamp, milliseconds since 1970 UTC.

        Raises:
            AvroFormatError: the registry does not answer, which says nothing about the record.
        """
        document = self.read(value)
        if isinstance(document, GameRefused):
            return document
        found = value or b""
        # The bytes of JSON hold neither a NUL nor a surrogate: the reader has refused them. Only an escape can be one.
        avro = found if is_framed(found) else None
        escapes = avro is not None or b"\\u" in found
        return self.judge_document(document, len(found), kafka_timestamp, escapes=escapes, avro=avro)

    def good_fields(self, value: bytes | None) -> dict[str, Any]:
        """The fields of a refused record's envelope that are good by themselves; empty where it cannot be read.

        Args:
            value: the record's value, as in `judge`.
        """
        document = self.read(value)
        if not isinstance(document, dict):
            return {}
        ignored = _Findings()
        sent, _ = _taken(self._envelope, document)
        sent.pop("properties", None)
        kind = self._kind(sent.get("event_type"), ignored)
        derived = derived_fields(kind and kind.event, sent, value)
        found = {**self._judge_envelope(kind, sent, ignored), **derived}
        if kind is None:
            found.pop("event_type", None)
        return {name: one for name, one in found.items() if bad_text(one) is None}

    def read(self, value: bytes | None) -> Json | GameRefused:
        """A record's value as a JSON document, or why it is none. Raises as `judge` does."""
        if value is not None and is_framed(value):
            return self._read_avro(value)
        try:
            return self._reader.read(value)
        except NotStrictUtf8Error as error:
            return GameRefused(GameReason.NOT_UTF8, None, str(error))
        except NotStrictJsonError as error:
            return GameRefused(GameReason.NOT_JSON, None, str(error))

    def _read_avro(self, value: bytes) -> Json | GameRefused:
        if self._avro is None:
            said = "the record is Avro, and no registry is asked for its schema; send JSON here"
            return GameRefused(GameReason.NOT_AVRO, None, said)
        try:
            return self._avro.read(value)
        except NotUtf8Error as error:
            return GameRefused(GameReason.NOT_UTF8, None, f"{error}; send texts in UTF-8")
        except (NotAvroError, UnusableSchemaError) as error:
            said = f"the record is not Avro in the registry's wire format: {error}"
            return GameRefused(GameReason.NOT_AVRO, None, said)

    def completed(self, document: dict[str, Any], value: bytes | None, kafka_timestamp: int) -> dict[str, Any]:
        """A document that `read` gave, with what is derived from the record written into it.

        Args:
            document: of the record.
            value: the record's value.
            kafka_timestamp: as in `judge`.
        """
        sent, _ = _taken(self._envelope, document)
        kind = self._kind(sent.get("event_type"), _Findings())
        return {**document, **derived_fields(kind and kind.event, sent, value, kafka_timestamp)}

    def judge_document(
        self,
        document: Json,
        size: int,
        kafka_timestamp: int,
        *,
        escapes: bool = True,
        avro: bytes | None = None,
    ) -> GameOutcome:
        """What becomes of a record that was read.

        Args:
            document: what `read` gave.
            size: bytes of the record.
            kafka_timestamp: as in `judge`.
            escapes: False: the record has no `\\u`, so that its texts need no look.
            avro: the bytes of a record in Avro; None: it was JSON.
        """
        if not isinstance(document, dict):
            return GameRefused(
                GameReason.NOT_AN_OBJECT, None, "the record is not an object; send one event as one object"
            )
        findings = _Findings()
        if size > self.catalogue.limits.record_bytes:
            said = f"has {size} bytes, more than {self.catalogue.limits.record_bytes}; send less in `properties`"
            findings.add(None, Problem(GameReason.TOO_LARGE, said))
        sent, used = _taken(self._envelope, document)
        kind = self._kind(sent.get("event_type"), findings)
        properties = sent.pop("properties", None)
        taken = used | self._names
        left = {name: value for name, value in document.items() if name not in taken}
        unread = properties is not None and any(value is not None for value in left.values())
        properties = left if properties is None else properties
        if kind is not None and type(properties) is dict:
            properties = _lift(kind, sent, properties)
        derived = derived_fields(kind and kind.event, sent, avro, kafka_timestamp)
        envelope = self._judge_envelope(kind, sent, findings, derived)
        if type(properties) is not dict:
            findings.add("properties", wrong_type(GameFieldType.OBJECT, properties))
            properties = {}
        elif kind is not None:
            properties, unknown = _judge_properties(kind, properties, findings)
            unread = unread or unknown
        late = self._judge_time(envelope.get("event_time"), kafka_timestamp, findings)
        if findings.first is None and escapes:
            self._judge_texts(document, findings)
        if findings.first is not None:
            return findings.first
        return self._event(envelope, derived, properties, late, Remark.UNKNOWN_FIELD if unread else None)

    def _kind(self, sent: Any, findings: _Findings) -> _Type | None:
        """The event's type; None where there is none, which is a problem unless `event_type` is missing or no name."""
        if type(sent) not in {str, int, BigInteger}:
            return None
        kind = self._types.get(str(sent))
        if kind is None:
            shown = ascii(str(sent)[:_SHOWN])
            said = f"{shown} is no event type; `gamestream events types` lists them"
            findings.add("event_type", Problem(GameReason.UNKNOWN_EVENT_TYPE, said))
        return kind

    def _judge_envelope(
        self, kind: _Type | None, sent: Mapping[str, Any], findings: _Findings, derived: Mapping[str, Any] = NO_FIELDS
    ) -> dict[str, Any]:
        required = self._required if kind is None else kind.required
        found: dict[str, Any] = {}
        for field in self._envelope:
            value = sent.get(field.name)
            if value is None:
                if field.name in required and field.name not in derived:
                    findings.add(field.path, _MISSING)
                elif field.default is not None:
                    found[field.name] = field.default
                continue
            value = field.check(value)
            if type(value) is Problem:
                findings.add(field.path, value)
            else:
                found[field.name] = value
        if kind is not None:
            found["event_type"] = kind.event.name
        return found

    def _judge_time(self, millis: Any, kafka_timestamp: int, findings: _Findings) -> bool:
        if millis is None:
            return False
        ahead = millis - kafka_timestamp
        if ahead > self._times.max_ahead:
            said = f"is {ahead // 1000} s ahead of the time at which Kafka took the record; set the sender's clock"
            findings.add("event_time", Problem(GameReason.FUTURE_TIMESTAMP, said))
        elif -ahead > self._times.max_age:
            said = (
                f"is more than {self._times.max_age // 86_400_000} days before the time at which Kafka took the record"
            )
            findings.add("event_time", Problem(GameReason.TOO_OLD, said))
        return -ahead > self._times.late_after

    def _judge_texts(self, document: Json, findings: _Findings) -> None:
        path = bad_text(document)
        if path is not None:
            shown = ascii(".".join(path))[1:-1][:_SHOWN_PATH]  # the names are the sender's
            said = "has a NUL character or half of a surrogate pair; remove it"
            findings.add(shown or None, Problem(GameReason.BAD_TEXT, said))

    def _event(
        self,
        envelope: dict[str, Any],
        derived: Mapping[str, Any],
        properties: dict[str, Any],
        late: bool,
        remark: Remark | None,
    ) -> GameEvent:
        text = canonical(properties)
        digested = {**envelope, "properties": orjson.Fragment(text)}
        for name in self._undigested:
            digested.pop(name, None)
        digest = hashlib.sha256(canonical(digested)).hexdigest()[:_DIGEST_CHARACTERS]
        envelope |= derived
        get = envelope.get
        return GameEvent(
            envelope["event_id"],
            get("user_id"),
            get("session_id"),
            envelope["event_type"],
            envelope["event_time"],
            get("platform"),
            get("app_version"),
            get("ip_address"),
            get("country"),
            get("device_model"),
            get("region"),
            get("experiment"),
            get("variant"),
            envelope["environment"],
            text.decode(),
            digest,
            late,
            remark,
        )

    def _fields(self, fields: Mapping[str, Any], prefix: str) -> tuple[_Field, ...]:
        return tuple(
            _Field(
                name,
                f"{prefix}{name}",
                (name, *field.synonyms),
                check_of(field, self._times, self.catalogue.limits.number_characters),
                field.required,
                field.type is not GameFieldType.STRING or field.min_length > 0,
                field.default,
            )
            for name, field in fields.items()
        )

    def _type(self, event: GameEventType) -> _Type:
        required = frozenset(name for name in self.catalogue.fields if self.catalogue.required(event, name))
        return _Type(event, required, self._fields(event.properties, "properties."), frozenset(event.properties))


_MISSING: Final = Problem(GameReason.MISSING_FIELD, "is missing, null or empty; send it")


def _taken(fields: tuple[_Field, ...], document: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Values by field, and the names under which they were sent."""
    sent: dict[str, Any] = {}
    used: set[str] = set()
    for field in fields:
        for name in field.names:
            value = document.get(name)
            if value is not None and not (field.empty_is_absent and value == ""):
                sent[field.name] = value
                used.add(name)
                break
    return sent, used


def _lift(kind: _Type, sent: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    for name in kind.event.lifts:
        value = properties.get(name)
        if name not in sent and value is not None and value != "":
            sent[name] = value
            properties = {other: one for other, one in properties.items() if other != name}
    return properties


def _judge_properties(kind: _Type, properties: Mapping[str, Any], findings: _Findings) -> tuple[dict[str, Any], bool]:
    """The properties in normal form, and whether some of them are unknown."""
    sent, used = _taken(kind.fields, properties)
    found = {
        name: value
        for name, value in properties.items()
        if value is not None and name not in used and name not in kind.known
    }
    unknown = bool(found)
    for field in kind.fields:
        value = sent.get(field.name)
        if value is None:
            if field.required:
                findings.add(field.path, _MISSING)
            continue
        value = field.check(value)
        if type(value) is Problem:
            findings.add(field.path, value)
        else:
            found[field.name] = value
    return found, unknown

"""The game events: the common envelope and the types, read from `game_events/`.

`game_rules` states what the declarations mean; `events.game_judge` is the rule in Python.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.catalogue.boards import Identifier
from gamestream_dagster.catalogue.durations import DurationMs
from gamestream_dagster.catalogue.errors import CatalogueError

GAME_EVENTS_DIR = Path(__file__).with_name("game_events")
AVRO_NAMESPACE = "io.gamestream.events"

_LONG = (Decimal(-(2**63)), Decimal(2**63 - 1))


class GameFieldType(StrEnum):
    """Type of a field, as a game sends it."""

    STRING = "string"
    INTEGER = "integer"  # a JSON number without fraction and exponent, of 64 bits
    DECIMAL = "decimal"  # money: a JSON number, or its text without exponent
    NUMBER = "number"  # any JSON number
    BOOLEAN = "boolean"
    TIME = "time"  # of the envelope alone, as the next two
    EVENT_TYPE = "event_type"
    OBJECT = "object"


_ENVELOPE_ONLY = {GameFieldType.TIME, GameFieldType.EVENT_TYPE, GameFieldType.OBJECT}
_NUMERIC = {GameFieldType.INTEGER, GameFieldType.DECIMAL, GameFieldType.NUMBER}
_DERIVABLE = frozenset({"event_id", "event_time"})


def _exact(given: Any) -> Any:
    if isinstance(given, float):
        raise ValueError(f'{given} is a float; write a whole number, or a text such as "0.5"')  # noqa: TRY004
    return given


Exact = Annotated[Decimal, BeforeValidator(_exact)]


class GameField(BaseModel):
    """One field with its rules. Lengths are counted in characters (Unicode code points)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: GameFieldType
    description: str = Field(min_length=1)
    required: bool = False
    synonyms: tuple[Identifier, ...] = ()
    min_length: int = Field(default=1, ge=0)
    max_length: int | None = Field(default=None, gt=0)
    alphabet: str | None = Field(default=None, description="The only characters that a text may have.")
    values: tuple[str, ...] = Field(default=(), description="The only texts that are allowed.")
    minimum: Exact | None = None
    maximum: Exact | None = None
    scale: int = Field(default=0, ge=0, le=18, description="Decimal places of a `decimal`; zeros at the end are free.")
    default: str | None = Field(default=None, description="Text of a field that is absent.")
    archived: bool = Field(default=True, description="False: the archive does not keep it.")
    in_digest: bool = Field(default=True, description="False: two events that differ in it alone are the same event.")

    @model_validator(mode="after")
    def _rules_fit(self) -> Self:
        text = self.type is GameFieldType.STRING
        if text == (not self.values and self.max_length is None):
            raise ValueError("a `string` needs `max_length` or `values`, and no other type has them")
        if not text and (self.alphabet is not None or self.default is not None or self.min_length != 1):
            raise ValueError("`alphabet`, `default` and `min_length` belong to a `string`")
        if (self.type in _NUMERIC) != (self.minimum is not None and self.maximum is not None):
            raise ValueError(
                f"a {self.type.value} {'needs' if self.type in _NUMERIC else 'has no'} minimum and maximum"
            )
        if self.default is not None and (self.required or self.default not in self.values):
            raise ValueError("a `default` is one of `values`, and its field is not `required`")
        if self.scale and self.type is not GameFieldType.DECIMAL:
            raise ValueError("`scale` belongs to a `decimal`")
        if self.type is GameFieldType.INTEGER and not _LONG[0] <= self.least <= self.most <= _LONG[1]:
            raise ValueError("`minimum` and `maximum` of an integer are within 64 bits")
        return self

    @property
    def least(self) -> Decimal:
        """Smallest value of a numeric field."""
        return self.minimum or Decimal(0)

    @property
    def most(self) -> Decimal:
        """Greatest value of a numeric field."""
        return self.maximum or Decimal(0)


class RecordLimits(BaseModel):
    """Limits of every record; see `game_rules`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record_bytes: int = Field(gt=0)
    depth: int = Field(gt=1)
    number_characters: int = Field(gt=0)
    number_exponent: int = Field(gt=0)


class EventTimes(BaseModel):
    """What an event time may be, milliseconds; see `game_rules`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    earliest: int
    latest: int
    max_ahead: DurationMs
    max_age: DurationMs
    late_after: DurationMs


class GameEventType(BaseModel):
    """One type of game events: what it is called, and the fields of its `properties`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Identifier
    family: str
    description: str = Field(min_length=1)
    codes: tuple[int, ...] = Field(default=(), description="Numbers that senders may write for the name.")
    synonyms: tuple[Identifier, ...] = Field(default=(), description="Other names of the type.")
    requires: tuple[Identifier, ...] = Field(default=(), description="Envelope fields that this type must have.")
    optional: tuple[Identifier, ...] = Field(default=(), description="Required envelope fields that it may lack.")
    lifts: tuple[Identifier, ...] = Field(
        default=(), description="Envelope fields that may be in `properties` instead; they are moved to the envelope."
    )
    derives: tuple[Identifier, ...] = Field(
        default=(),
        description="Of `event_id` and `event_time`: what an Avro record may lack, since intake derives it from the "
        "record. For readings, where a second delivery does no harm; never for money or scores.",
    )
    properties: dict[Identifier, GameField]

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every text that `event_type` may have: the name, its synonyms, its codes."""
        return (self.name, *self.synonyms, *map(str, self.codes))

    @property
    def avro_name(self) -> str:
        """Full name of the Avro record."""
        return f"{AVRO_NAMESPACE}.{self.name.title().replace('_', '')}"


class GameCatalogue(BaseModel):
    """Every type of game events with the envelope."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: RecordLimits
    times: EventTimes
    fields: dict[Identifier, GameField]
    types: dict[Identifier, GameEventType]

    def __hash__(self) -> int:
        return hash((*self.fields, *self.types))

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        _no_name_twice("the envelope", self.fields)
        for kind, name in (("time", "event_time"), ("event_type", "event_type"), ("object", "properties")):
            if [one for one, field in self.fields.items() if field.type == kind] != [name]:
                raise ValueError(f"the envelope must have one field of type {kind}, which is {name!r}")
        taken: dict[str, str] = {}
        for event in self.types.values():
            for name in event.names:
                if taken.setdefault(name, event.name) != event.name:
                    raise ValueError(f"{name!r} is a name of both {taken[name]!r} and {event.name!r}")
            self._check(event)
        return self

    def _check(self, event: GameEventType) -> None:
        _no_name_twice(event.name, event.properties)
        for name in (*event.requires, *event.optional, *event.lifts):
            if name not in self.fields:
                raise ValueError(f"{event.name}: the envelope has no field {name!r}")
        if unknown := set(event.derives) - _DERIVABLE:
            raise ValueError(f"{event.name}: {', '.join(sorted(unknown))} cannot be derived from a record")
        if "event_time" in event.derives and "event_id" not in event.derives:
            raise ValueError(f"{event.name}: without a time of its own an event needs a derived event_id, too")
        for name, field in event.properties.items():
            if name in self.fields or set(field.synonyms) & self.fields.keys():
                raise ValueError(f"{event.name}: property {name!r} has the name of an envelope field")
            if field.type in _ENVELOPE_ONLY:
                raise ValueError(f"{event.name}: property {name!r} cannot be of type {field.type.value}")

    def required(self, event: GameEventType, name: str) -> bool:
        """Whether events of a type must have an envelope field."""
        return name in event.requires or (self.fields[name].required and name not in event.optional)


def _no_name_twice(owner: str, fields: dict[str, GameField]) -> None:
    names = [name for key, field in fields.items() for name in (key, *field.synonyms)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{owner}: {', '.join(sorted(twice))} is the name or synonym of two fields")


@cache
def load_game_events(folder: Path = GAME_EVENTS_DIR) -> GameCatalogue:
    """The catalogue of game events: `envelope.yaml` and a file for each type in `types/`.

    Raises:
        CatalogueError: a file is not usable; names it and the field.
    """
    envelope = folder / "envelope.yaml"
    types = {path.stem: _type_of(path) for path in sorted((folder / "types").glob("*.yaml"))}
    try:
        return GameCatalogue(**_read(envelope), types=types)
    except (ValidationError, TypeError) as error:
        raise CatalogueError(f"{envelope} and its types cannot be used: {error}") from error


def _type_of(path: Path) -> GameEventType:
    try:
        return GameEventType(name=path.stem, **_read(path))
    except (ValidationError, TypeError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error

"""Pydantic models of the game events, for the ingest API's own documentation.

They describe what a game should send, with every field under its own name. The judge decides (`game_judge`): it also
knows synonyms, limits of the whole record, and times.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, create_model

from gamestream_dagster.catalogue.game_event import (
    GameCatalogue,
    GameEventType,
    GameField,
    GameFieldType,
    load_game_events,
)


@cache
def game_event_models() -> dict[str, type[BaseModel]]:
    """The model of each type by its name."""
    catalogue = load_game_events()
    return {name: _model(event, catalogue) for name, event in catalogue.types.items()}


@cache
def any_game_event() -> Any:
    """The union of all types, told apart by `event_type`: the items of a batch."""
    return Annotated[Union[tuple(game_event_models().values())], Field(discriminator="event_type")]  # noqa: UP007


def _model(event: GameEventType, catalogue: GameCatalogue) -> type[BaseModel]:
    name = event.avro_name.rpartition(".")[2]
    inside = {one: _field(field, required=field.required) for one, field in event.properties.items()}
    properties = create_model(f"{name}Properties", __config__=ConfigDict(extra="allow"), **inside)
    fields = {
        one: _field(field, required=catalogue.required(event, one))
        for one, field in catalogue.fields.items()
        if field.type not in {GameFieldType.EVENT_TYPE, GameFieldType.OBJECT}
    }
    named = Literal[(*event.names, *event.codes)]  # type: ignore[valid-type]
    fields["event_type"] = (named, Field(description=catalogue.fields["event_type"].description))
    described = catalogue.fields["properties"].description
    if any(field.required for field in event.properties.values()):
        fields["properties"] = (properties, Field(description=described))
    else:
        fields["properties"] = (properties | None, Field(default=None, description=described))
    model: type[BaseModel] = create_model(
        name, __config__=ConfigDict(extra="allow"), __doc__=event.description, **fields
    )
    return model


def _field(field: GameField, *, required: bool) -> Any:
    kind = _annotation(field)
    if required:
        return kind, Field(description=field.description)
    return kind | None, Field(default=field.default, description=field.description)


def _annotation(field: GameField) -> Any:
    match field.type:
        case GameFieldType.INTEGER:
            return Annotated[int, Strict(), Field(ge=int(field.least), le=int(field.most))]
        case GameFieldType.NUMBER:
            return Annotated[float, Strict(), Field(ge=float(field.least), le=float(field.most))]
        case GameFieldType.DECIMAL:
            return Annotated[Decimal, Field(decimal_places=field.scale, ge=field.least, le=field.most)]
        case GameFieldType.BOOLEAN:
            return Annotated[bool, Strict()]
        case GameFieldType.TIME:
            return AwareDatetime | int
        case _ if field.values:
            return Literal[field.values]  # type: ignore[valid-type]
        case _:
            pattern = f"^[{field.alphabet}]*$" if field.alphabet else None
            sized = Field(min_length=field.min_length, max_length=field.max_length, pattern=pattern)
            return Annotated[str, Strict(), sized]

"""What a job appends to topics: a file `streams/<view>.yaml` in its folder for each topic that it writes records to.

An output (`catalogue.boards`) is a table of rows that change; a stream output is a log of records that stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.catalogue.boards import Identifier
from gamestream_dagster.catalogue.errors import reasons
from gamestream_dagster.catalogue.topics import TopicName
from gamestream_dagster.flink_jobs.errors import JobSpecError

STREAMS = "streams"  # the folder of a job that holds a file for each of its stream outputs


class StreamType(StrEnum):
    """Type of a column, as it stands in the record's JSON."""

    STRING = "string"
    BIGINT = "bigint"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    BYTES = "bytes"  # Base64 in the JSON
    TIMESTAMP = "timestamp"  # the record's Kafka time, and no field of the JSON


class StreamColumn(BaseModel):
    """One field of the records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: StreamType
    description: str = Field(min_length=1)


class StreamOutput(BaseModel):
    """Records that a job appends to a declared topic. The view with its name feeds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Identifier
    topic: TopicName
    description: str = Field(min_length=1)
    key: Identifier = Field(description="The column whose text is the record key; null where it is null.")
    delivery: Literal["exactly-once", "at-least-once"] = "exactly-once"
    transaction_timeout_seconds: int = Field(default=900, gt=0, description="How long Kafka keeps an open transaction.")
    value: Identifier | None = Field(
        default=None, description="The column whose bytes are the record's value; None: a JSON object of the columns."
    )
    time: Identifier | None = Field(
        default=None, description="The column that is the record's Kafka time; None: the writer's clock."
    )
    columns: dict[Identifier, StreamColumn] = Field(min_length=1)

    @model_validator(mode="after")
    def _key_is_a_text(self) -> StreamOutput:
        if self.key not in self.columns or self.columns[self.key].type is not StreamType.STRING:
            raise ValueError(f"`key` {self.key!r} must be a string of `columns`")
        return self

    @model_validator(mode="after")
    def _value_and_time_fit(self) -> StreamOutput:
        times = [name for name, column in self.columns.items() if column.type is StreamType.TIMESTAMP]
        if times != ([] if self.time is None else [self.time]):
            raise ValueError(f"`time` {self.time!r} must be the one timestamp of `columns`")
        if self.value is None:
            return self
        if self.value not in self.columns or self.columns[self.value].type is not StreamType.BYTES:
            raise ValueError(f"`value` {self.value!r} must be a column of bytes")
        if surplus := sorted(self.columns.keys() - {self.key, self.value, self.time}):
            raise ValueError(f"the record is the bytes of `value`, which leaves no place for {', '.join(surplus)}")
        return self


def streams_of(folder: Path, views: Sequence[str]) -> tuple[StreamOutput, ...]:
    """The stream outputs of a job's folder, in the order of the views that feed them.

    Raises:
        JobSpecError: a file cannot be used, or has no view; says which and the mend.
    """
    described = {path.stem: _load(path) for path in sorted((folder / STREAMS).glob("*.yaml"))}
    for name in described:
        if name not in views:
            raise JobSpecError(
                f"{folder.name}/query.sql has no view {name!r}: the view with a stream output's name feeds it; "
                f"define it, or remove {STREAMS}/{name}.yaml"
            )
    return tuple(described[name] for name in views if name in described)


def _load(path: Path) -> StreamOutput:
    shown = f"{path.parents[1].name}/{STREAMS}/{path.name}"
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return StreamOutput(name=path.stem, **raw)
    except ValidationError as error:
        raise JobSpecError(f"{shown} cannot be used: {reasons(error)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise JobSpecError(f"{shown} cannot be used: {error}") from error

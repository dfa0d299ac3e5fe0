"""The inventory: for each field of the catalogue whether it is personal. Each YAML file covers one kind of thing.

A field without an entry is an error, and there is no default: whoever adds a field decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gamestream_dagster.archive.decode import ENVELOPE
from gamestream_dagster.archive.history import ADDED_COLUMNS
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.event_type import load_event_types
from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.catalogue.sources import HEADERS_COLUMN
from gamestream_dagster.catalogue.topics import load_declared
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.privacy.errors import InventoryError
from gamestream_dagster.settings import Ranks
from gamestream_dagster.warehouse.tables import system

FOLDER = Path(__file__).parent


class Kind(StrEnum):
    """What a field is to a player."""

    PLAYER = "player"  # id of the player that the record is about
    OTHER = "other_player"  # id of another player, whom the record names too
    PERSONAL = "personal"  # a value about the player of the record
    MAY_HOLD = "may_hold"  # text, JSON or bytes that can hold ids of players
    NONE = "none"  # not personal


Fields = Mapping[str, Kind]


class Forgetting(BaseModel):
    """What a job's state keeps of players."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forgets: Literal["replay", "expires", "none"]
    hours: int | None = Field(default=None, ge=1)
    keeps: str = Field(min_length=1)
    fed_by_games: bool = Field(default=False, description="Games write to the topics that it reads.")


@dataclass(frozen=True)
class Inventory:
    """The whole inventory; each part by name of what has the fields."""

    events: Mapping[str, Fields]
    streams: Mapping[str, Fields]
    archive: Mapping[str, Fields]
    outputs: Mapping[str, Fields]
    metrics: Mapping[str, Fields]
    tables: Mapping[str, Fields]
    topics: Mapping[str, Kind]
    jobs: Mapping[str, Forgetting]

    @property
    def parts(self) -> Mapping[str, Mapping[str, Fields]]:
        """The parts that list fields, by the name of their file."""
        names = ("events", "streams", "archive", "outputs", "metrics", "tables")
        return {name: getattr(self, name) for name in names}


@cache
def load_inventory(folder: Path = FOLDER) -> Inventory:
    """Read the inventory.

    Raises:
        InventoryError: a file cannot be read, or an entry is none of `Kind`.
    """
    fields = TypeAdapter(dict[str, dict[str, Kind]])
    parts = {
        name: _read(folder / f"{name}.yaml", fields)
        for name in ("events", "streams", "archive", "outputs", "metrics", "tables")
    }
    topics = _read(folder / "topics.yaml", TypeAdapter(dict[str, Kind]))
    return Inventory(**parts, topics=topics, jobs=_read(folder / "jobs.yaml", TypeAdapter(dict[str, Forgetting])))


def _read(path: Path, shape: TypeAdapter[Any]) -> Any:
    try:
        return shape.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InventoryError(f"{path} cannot be used: {error}", "correct the entry that it names") from error


def faults(inventory: Inventory) -> Iterator[str]:
    """What the inventory does not say of the catalogue, or says of what there is not; a sentence each."""
    for part, declared in catalogue_fields().items():
        yield from _faults(f"privacy/inventory/{part}.yaml", declared, inventory.parts[part])
    for file, known, said in (
        ("topics", load_declared(), inventory.topics),
        ("jobs", all_jobs(), inventory.jobs),
    ):
        yield from (f"privacy/inventory/{file}.yaml says nothing of {name}" for name in known.keys() - said.keys())
        yield from (f"privacy/inventory/{file}.yaml: there is no {name}" for name in said.keys() - known.keys())


def _faults(file: str, declared: Mapping[str, Sequence[str]], said: Mapping[str, Fields]) -> Iterator[str]:
    for name, fields in declared.items():
        entries = said.get(name, {})
        yield from (f"{file} says nothing of {name}.{field}" for field in fields if field not in entries)
        yield from (f"{file}: {name} has no {field}" for field in entries if field not in fields)
    yield from (f"{file}: there is no {name}" for name in said if name not in declared)


def catalogue_fields() -> dict[str, dict[str, Sequence[str]]]:
    """Every field that the inventory must cover, by part and name."""
    game = load_game_events()
    events: dict[str, Sequence[str]] = {name: tuple(one.fields) for name, one in load_event_types().items()}
    events["game_event"] = tuple(game.fields)
    events |= {f"game_event.{name}": tuple(one.properties) for name, one in game.types.items()}
    streams = {f"{job}.{one.name}": tuple(one.columns) for job, spec in all_jobs().items() for one in spec.streams}
    return {
        "events": events,
        "streams": dict(streams),
        "archive": {
            "envelope": tuple(ENVELOPE.names),
            "game_events": (HEADERS_COLUMN,),
            "history": tuple(ADDED_COLUMNS),
        },
        "outputs": {name: tuple(one.columns) for name, one in load_boards(season=None).items()},
        "metrics": {name: tuple(one.columns) for name, one in load_metrics().items()},
        "tables": {name: tuple(one.columns.keys()) for name, one in system.tables.items()},
    }


def all_jobs() -> dict[str, JobSpec]:
    """Every job of the project, whatever a stack keeps."""
    return load_jobs(season=None, ranks=Ranks.ALL)


def of_kind(fields: Fields, *kinds: Kind) -> tuple[str, ...]:
    """The fields of some kinds, in their order."""
    return tuple(name for name, kind in fields.items() if kind in kinds)


def about_players(fields: Fields) -> bool:
    """Whether any field is personal."""
    return any(kind is not Kind.NONE for kind in fields.values())

"""Which archived events a question is about: an immutable value. Another cut, season or hypothesis is another value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Self

from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.catalogue.sources import ColumnType
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.values import Entity

Position = tuple[int, int, int]
"""One record item: partition, offset, and the place in a record that holds several events (0 for nearly all)."""


@dataclass(frozen=True)
class ArchiveSource:
    """The records of one archived topic."""

    folder: Path
    """`<archive_dir>/<topic>`."""
    event_ids: bool = True
    """The events carry ids: copies are recognised by them and left out."""
    chapter: int | None = None
    """Place of the archive's chapter; None: the newest one."""
    own_columns: Mapping[str, ColumnType] = field(default_factory=dict[str, ColumnType], hash=False)
    """Columns of the event types, which are there even where nothing is archived."""
    content: tuple[str, ...] = ("team_id", "team_name", "score", "event_time_millis")
    """Columns by which two records of one id can differ; default those of scores."""
    id_key: tuple[str, ...] = ("user_id", "event_id")
    """Columns that name an event; records of one such name are copies of the first."""
    aliases: Mapping[str, str] = field(default_factory=lambda: {"points": "score"}, hash=False)
    """Further names of columns; `points` is what outputs sum."""
    derived: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Columns of the event types that are computed from others, by name."""
    named: tuple[str, ...] = ("user_id", "team_id")
    """Columns without which a record is about nobody."""
    late_ms: int = field(kw_only=True)
    """An event further behind the newest one is late: its slice of a window may have been counted already."""

    @property
    def digested(self) -> tuple[str, ...]:
        """Columns of the event types that a digest of the archive covers; default those of scores."""
        return tuple(self.own_columns) or ("team_id", "team_name", "score")


@dataclass(frozen=True)
class Counterfactual:
    """What a hypothesis changes about the counted events."""

    removed: tuple[Position, ...] = ()
    """Counted events to leave out."""
    added: tuple[Position, ...] = ()
    """Items to count once more, each as often as it is listed: copies, counted events, or refused records of which the
    `named` columns and what outputs sum can be read."""

    def __bool__(self) -> bool:
        return bool(self.removed or self.added)


@dataclass(frozen=True)
class Entities:
    """A few entities, whose records are read once for many questions about them."""

    columns: tuple[str, ...]
    """Text columns of an event."""
    keys: tuple[Entity, ...]


_AS_ARCHIVED = Counterfactual()


@dataclass(frozen=True)
class EventsAt:
    """The counted events of a source before a cut; each further field narrows or changes them.

    A day is `season=season_at(Season.DAILY, millis)`.
    """

    source: ArchiveSource
    cut: Cut
    """Next offset by partition; nothing counts of a partition that is left out."""
    low: Cut = field(default_factory=dict[int, int])
    """Lower cut of a bracket: says which of the events came since. A partition that is left out stands at 0."""
    season: SeasonSpan | None = None
    """Only events with a time in it; None: all of them."""
    since: int | None = None
    """Only events that Kafka took at this time or later, milliseconds, in place of a season; None: all of them."""
    hypothesis: Counterfactual = _AS_ARCHIVED
    entities: Entities | None = None
    """Only events of these; None: of everybody."""

    def __post_init__(self) -> None:
        for name in ("cut", "low"):
            offsets: Mapping[int, int] = getattr(self, name)
            object.__setattr__(self, name, MappingProxyType(dict(offsets)))

    @property
    def as_archived(self) -> bool:
        """Whether these are everybody's events with nothing supposed."""
        return not self.hypothesis and self.entities is None and self.since is None

    def at_low(self) -> Self:
        """The same at the lower cut."""
        return replace(self, cut=self.low)

    def from_beginning(self) -> Self:
        """The same with the whole input in the bracket."""
        return replace(self, low={})

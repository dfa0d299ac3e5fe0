"""The streams: topics with event types, as frozen values that archive, recompute, jobs and pages are given.

Loading is pure: it reads the files that it is given, never the environment. A stack's own encodings of topics
(`settings.topic_formats`) are passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.event_type import (
    EVENT_TYPES_DIR,
    EventField,
    EventType,
    load_event_types,
    score_event,
)
from gamestream_dagster.catalogue.game_event import GameCatalogue, load_game_events
from gamestream_dagster.catalogue.topics import (
    TOPICS_FILE,
    Declared,
    Dedup,
    RecordRule,
    SubjectNaming,
    load_declared,
)
from gamestream_dagster.settings import Settings, TopicFormat

_POSITION = ("topic", "partition", "offset", "item", "kafka_timestamp", "key", "value", "value_bytes")
_JUDGED = ("outcome", "reason", "remark", "event_id", "user_id", "event_time_millis", "event_type", "newest_before")
RESERVED_COLUMNS = frozenset((*_POSITION, *_JUDGED))
"""Columns of every archive (`archive.decode`)."""

POINTS = "points"
"""In every archive the name of the column that outputs sum."""


class ColumnType(StrEnum):
    """Type of an archive's column."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"


_OTHER_NAMES = {"event_time": "event_time_millis"}  # of the game events' envelope, in that of every archive
_GAME_VERDICT = {"digest": ColumnType.STRING, "late": ColumnType.BOOLEAN, "field": ColumnType.STRING}
HEADERS_COLUMN = "headers"
"""Of archived game events: a JSON object of those headers that gamestream gives to records (`events.headers`)."""

NO_FORMATS: Mapping[str, TopicFormat] = MappingProxyType({})


@dataclass(frozen=True)
class Source:
    """One stream: a topic and what its records are."""

    topic: str
    event_types: tuple[EventType, ...]
    format: TopicFormat
    key: str
    """What the record key is."""
    dedup: Dedup | None
    """What makes two records one event, and for how long jobs remember it; None: no copy is told."""
    lateness_ms: int
    """How far the watermark stays behind the newest event: an event further behind is late."""
    archived: bool = True
    """Every record is kept in the archive."""
    subject_naming: SubjectNaming = SubjectNaming.TOPIC
    copy_of: str | None = None
    """The stream whose records it holds, each once and unchanged, under other keys."""
    game: GameCatalogue | None = None
    """Its records are game events, judged by this catalogue; None: they are judged by `event_types`."""

    @property
    def type_names(self) -> tuple[str, ...]:
        """Names of the event types that its records can be of."""
        return tuple(event.name for event in self.event_types) if self.game is None else tuple(self.game.types)

    @property
    def subjects(self) -> dict[str, EventType]:
        """The registry's subjects of the record values, with the event type that each is the schema of."""
        return {self.subject_of(event): event for event in self.event_types}

    def subject_of(self, event: EventType) -> str:
        """The registry's subject of one event type."""
        return f"{self.topic}-{'value' if self.subject_naming is SubjectNaming.TOPIC else event.avro_name}"

    @property
    def max_ahead_ms(self) -> int:
        """How far an event may be ahead of the Kafka timestamp of its record, milliseconds."""
        if self.game is not None:
            return self.game.times.max_ahead
        return max(event.max_ahead_ms for event in self.event_types)

    @property
    def own_columns(self) -> dict[str, ColumnType]:
        """Columns of the archive beside the envelope's: the fields of all event types, in their order.

        Of game events: the fields of their envelope, `properties` as canonical JSON, the verdict (`digest`, `late`,
        and the `field` that a refused record is refused for), and the record's headers.
        """
        if self.game is not None:
            kept = (_OTHER_NAMES.get(name, name) for name, field in self.game.fields.items() if field.archived)
            fields = {name: ColumnType.STRING for name in kept if name not in RESERVED_COLUMNS}
            return fields | _GAME_VERDICT | {HEADERS_COLUMN: ColumnType.STRING}
        fields = {name: field for event in self.event_types for name, field in event.own_columns.items()}
        return {name: ColumnType(field.type.value) for name, field in fields.items()}

    @property
    def content_columns(self) -> tuple[str, ...]:
        """Columns of the archive by which two deliveries of one event can differ."""
        if self.game is not None:
            return ("digest",)
        if self.dedup is not None and self.dedup.content:
            return tuple(self._enveloped.get(name, name) for name in self.dedup.content)
        return (*self.own_columns, "event_time_millis")

    @property
    def aliases(self) -> dict[str, str]:
        """Further names of the archive's columns: `points` for what outputs sum, and the event types' own names."""
        measure = next((event.measure for event in self.event_types if event.measure is not None), POINTS)
        return {POINTS: measure} | {name: column for name, column in self._enveloped.items() if name != column}

    @property
    def derived(self) -> dict[str, str]:
        """Columns beyond the archive's that outputs may name, by name: DuckDB expressions over the archive's."""
        return {name: sql for event in self.event_types for name, sql in event.derived.items()}

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Texts of an event that an output may name as key, label, choice, or in `over`."""
        own = [name for name, kind in self.own_columns.items() if kind is ColumnType.STRING]
        enveloped = [name for name, column in self._enveloped.items() if column in ("event_id", "event_type")]
        found = ("user_id", *own, *(name for name in enveloped if name != "event_id"), *self.derived)
        return tuple(dict.fromkeys(found))

    @property
    def named_columns(self) -> tuple[str, ...]:
        """Columns of the archive without which a record is about nobody: its required texts that cannot be empty."""
        found = {
            self._enveloped.get(name, name): None
            for event in self.event_types
            for name, field in event.fields.items()
            if field.required and field.min_length
        }
        return tuple(found)

    @property
    def _enveloped(self) -> dict[str, str]:
        """Columns of the envelope, by the field of an event type that each holds."""
        parts = (event.envelope.model_dump(exclude_none=True) for event in self.event_types)
        return {name: column for part in parts for column, name in part.items()}


def load_sources(
    path: Path = TOPICS_FILE,
    *,
    formats: Mapping[str, TopicFormat] = NO_FORMATS,
    event_types: Path = EVENT_TYPES_DIR,
) -> dict[str, Source]:
    """Every stream that is declared, by topic, in the file's order.

    Args:
        path: the declaration.
        formats: encodings by topic that win over the declared ones: a stack's `topic_formats`.
        event_types: folder of the event types.

    Raises:
        CatalogueError: a file is not usable, an event type has no file, or `formats` names no stream; says which.
    """
    known = load_event_types(event_types)
    sources = {
        topic: _source(topic, entry, known, formats, path)
        for topic, entry in load_declared(path).items()
        if entry.event_types or entry.rule is RecordRule.GAME_EVENTS
    }
    for source in sources.values():
        _check_copy(source, sources, path)
    for topic in formats:
        if topic not in sources:
            raise CatalogueError(
                f"The setting topic_formats names {topic!r}, which is no stream; the streams are: {', '.join(sources)}"
            )
    return sources


def stack_sources(settings: Settings) -> dict[str, Source]:
    """Every stream as a stack encodes it, by topic.

    Raises:
        CatalogueError: as `load_sources`.
    """
    return load_sources(formats=settings.topic_formats)


def score_source(settings: Settings) -> Source:
    """The stream that simulator, replay and drill send score events into.

    Raises:
        CatalogueError: as `source_of_event`.
    """
    return source_of_event(score_event().name, stack_sources(settings))


def load_dedup(path: Path = TOPICS_FILE) -> dict[str, Dedup]:
    """What makes two records one event, by topic; topics whose events carry no ids are left out.

    Raises:
        CatalogueError: the file is not usable; says why.
    """
    return {topic: entry.dedup for topic, entry in load_declared(path).items() if entry.dedup is not None}


def source_named(topic: str, sources: Mapping[str, Source]) -> Source:
    """The stream of a topic.

    Raises:
        CatalogueError: there is none of that name.
    """
    if topic not in sources:
        raise CatalogueError(f"There is no stream {topic!r}; the streams are: {', '.join(sources) or 'none yet'}")
    return sources[topic]


def source_of_event(event_type: str, sources: Mapping[str, Source]) -> Source:
    """The first declared stream that takes events of a type.

    Raises:
        CatalogueError: no stream does.
    """
    for source in sources.values():
        if any(event.name == event_type for event in source.event_types):
            return source
    raise CatalogueError(f"No topic of topics.yaml has the event type {event_type!r}; add it to its `event_types`")


def source_of_board(board: Board, sources: Mapping[str, Source]) -> Source:
    """The stream that a board is computed from: the one that its job reads, or that its description names.

    Raises:
        CatalogueError: the job reads no stream, or several, and the board names none of them.
    """
    read = [topic for topic in board.reads if topic in sources]
    named = [board.source] if board.source is not None else read
    if len(named) != 1 or named[0] not in read:
        listed = ", ".join(read) or "no stream"
        raise CatalogueError(
            f"{board.folder}: the job {board.job} reads {listed}; name the one that the board is computed from with "
            "`source: <topic>`"
        )
    return sources[named[0]]


def by_source(boards: Iterable[Board], sources: Mapping[str, Source]) -> dict[str, list[Board]]:
    """Boards by the topic that they are computed from, in the order of the boards.

    Raises:
        CatalogueError: as `source_of_board`.
    """
    found: dict[str, list[Board]] = {}
    for board in boards:
        found.setdefault(source_of_board(board, sources).topic, []).append(board)
    return found


def _source(
    topic: str,
    entry: Declared,
    known: Mapping[str, EventType],
    formats: Mapping[str, TopicFormat],
    path: Path,
) -> Source:
    for name in entry.event_types:
        if name not in known:
            listed = ", ".join(known) or "none yet"
            raise CatalogueError(f"{path}: topic {topic!r} has the event type {name!r}, which has no file ({listed})")
    source = Source(
        topic=topic,
        event_types=tuple(known[name] for name in entry.event_types),
        format=formats.get(topic, entry.format),
        key=entry.key,
        dedup=entry.dedup,
        lateness_ms=entry.lateness,
        archived=entry.archive,
        subject_naming=entry.subjects,
        copy_of=entry.copy_of,
        game=load_game_events() if entry.rule is RecordRule.GAME_EVENTS else None,
    )
    _check(source, path)
    return source


def _check_copy(source: Source, sources: Mapping[str, Source], path: Path) -> None:
    if source.copy_of is None:
        return
    original = sources.get(source.copy_of)
    if original is None or not (source.archived and original.archived):
        raise CatalogueError(f"{path}: `copy_of` of {source.topic!r} must name a stream, and both need `archive: true`")
    if (original.event_types, original.format) != (source.event_types, source.format):
        raise CatalogueError(f"{path}: {source.topic!r} and {original.topic!r} differ in `event_types` or `format`")


def _check(source: Source, path: Path) -> None:
    if source.game is not None:
        if source.format is not TopicFormat.JSON:
            raise CatalogueError(
                f"The records of {source.topic!r} are game events, each JSON or Avro by its first byte; remove "
                "the topic from the setting topic_formats"
            )
        return
    columns: dict[str, EventField] = {}
    if len({event.max_ahead_ms for event in source.event_types}) > 1:
        raise CatalogueError(f"{path}: the event types of {source.topic!r} differ in `max_ahead`")
    if len(source.event_types) > 1 and len({event.envelope.event_type for event in source.event_types} | {None}) != 2:
        raise CatalogueError(
            f"{path}: the event types of {source.topic!r} must name one field as `event_type` of their envelope, which "
            "says what a record is"
        )
    if len({event.measure for event in source.event_types} - {None}) > 1:
        raise CatalogueError(f"{path}: the event types of {source.topic!r} differ in `measure`")
    for event in source.event_types:
        for name in source.dedup.content if source.dedup is not None else ():
            if name not in event.fields or not event.fields[name].archived:
                raise CatalogueError(
                    f"{path}: `dedup` of {source.topic!r} compares {name!r}, no archived field of {event.name!r}"
                )
        if source.dedup is not None and "event_id" in source.dedup.key and event.envelope.event_id is None:
            raise CatalogueError(f"{path}: `dedup` of {source.topic!r} needs an event id, which {event.name!r} has not")
        _check_derived(event, path)
        for name, field in event.own_columns.items():
            if name in RESERVED_COLUMNS or (name == POINTS and event.measure != POINTS):
                raise CatalogueError(f"{path}: field {name!r} of {event.name!r} has the name of an archive's column")
            if columns.setdefault(name, field).type is not field.type:
                raise CatalogueError(f"{path}: the event types of {source.topic!r} differ in the type of {name!r}")


def _check_derived(event: EventType, path: Path) -> None:
    """A derived column in place of a record's position would change every proof of the stream."""
    for name in event.derived:
        if name in RESERVED_COLUMNS:
            raise CatalogueError(f"{path}: {event.name!r} derives {name!r}, which is the name of an archive's column")

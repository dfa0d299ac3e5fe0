"""What became of one event id: its raw records, what intake wrote about each, its scores, and their boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import by_source, source_named, stack_sources
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.events.headers import APP_HEADER, KEY_HEADER, RECEIVED_HEADER
from gamestream_dagster.events.strict_json import bad_text
from gamestream_dagster.fates.model import Evidence, Outcome, Place, Received, Trace, TracedRecord
from gamestream_dagster.fates.outputs import INTAKE_JOB, SCORES_TOPIC, Fate
from gamestream_dagster.fates.raw_records import Record, records_of
from gamestream_dagster.fates.written import OutputSearch
from gamestream_dagster.settings import Settings

MOST_TRACED = 20
"""Records of one id whose outputs are looked up; more are counted, not told."""

MOST_ID_CHARACTERS = 1_000
DUP_CONFLICT = "DUP_CONFLICT"
_HEADERS_SECONDS = 5.0
_OUTCOMES: Mapping[Fate, Outcome] = {
    Fate.ENRICHED: Outcome.ENRICHED,
    Fate.LATE: Outcome.LATE,
    Fate.DEAD: Outcome.DEAD,
    Fate.COPY: Outcome.COPY,
}

Headers = Callable[[str, int, int], Mapping[str, bytes | None] | None]


class NoEventIdError(GamestreamError):
    """The id cannot be that of an event."""


def trace_event(settings: Settings, event_id: str) -> Trace:
    """What became of every record with an event id.

    Args:
        settings: the stack.
        event_id: as the sender gave it.

    Raises:
        NoEventIdError: no event can have such an id.
        ArchiveError: an archive cannot be read.
        ServiceError: Kafka does not answer, or a topic is missing.
    """
    if not event_id or len(event_id) > MOST_ID_CHARACTERS or bad_text(event_id) is not None:
        raise NoEventIdError(
            f"No event has such an id: one has 1 to {MOST_ID_CHARACTERS:,} characters, and no NUL; give the id that "
            "the sender gave, such as the `event_id` of an answer of the HTTP API."
        )
    admin = KafkaAdmin(settings.kafka)
    sources = stack_sources(settings)
    raw = records_of(settings, source_named(RAW_TOPIC, sources), event_id, admin)
    scores = records_of(settings, source_named(SCORES_TOPIC, sources), event_id, admin)
    boards = tuple(
        board.name
        for board in by_source(
            (one for one in load_boards(season=settings.season).values() if one.proven), sources
        ).get(SCORES_TOPIC, ())
    )
    tracing = Tracing(
        records=raw.found,
        scores=[one for one in scores.found if one.reason is None],
        boards=boards,
        read_upto=admin.committed(f"gamestream-{INTAKE_JOB}", RAW_TOPIC),
        search=OutputSearch(admin, frozenset((one.partition, one.offset) for one in raw.found if one.current)),
        headers=partial(_headers_at, settings),
        raw_begins=admin.beginning_offsets(RAW_TOPIC),
    )
    return replace(tracing.trace(event_id), looked=(raw.looked, scores.looked), more=raw.more or scores.more)


@dataclass(frozen=True)
class Tracing:
    """The decisions behind a trace, over what was found.

    Args:
        records: of the raw topic, by Kafka time.
        scores: accepted ones of the boards' topic under the id.
        boards: computed from the boards' topic.
        read_upto: next offset that intake has committed, by partition.
        search: looks in the outputs.
        headers: of a record in Kafka; None: gone.
        raw_begins: oldest offset that Kafka holds of the raw topic, by partition.
    """

    records: Sequence[Record]
    scores: Sequence[Record]
    boards: tuple[str, ...]
    read_upto: Mapping[int, int]
    search: OutputSearch
    headers: Headers
    raw_begins: Mapping[int, int]

    def trace(self, event_id: str) -> Trace:
        """The fate of each record, and the scores that belong to none."""
        players = {user: number for number, user in enumerate(dict.fromkeys(one.user_id for one in self.records), 1)}
        firsts: dict[str | None, Record] = {}
        traced: list[TracedRecord] = []
        told: set[str | None] = set()
        for record in self.records[:MOST_TRACED]:
            first = firsts.get(record.user_id)
            if record.reason is None and first is None:
                firsts[record.user_id] = record
            one = self._fate(record, first, players[record.user_id])
            if one.outcome is Outcome.ENRICHED and record.user_id not in told:
                told.add(record.user_id)
                one = self._with_scores(one, record.user_id)
            traced.append(one)
        traced = self._with_copies_of_later(traced)
        others = [one for one in self.scores if one.user_id not in told]
        return Trace(
            event_id,
            tuple(traced),
            other_scores=tuple(_place(one) for one in others[:MOST_TRACED]),
            other_boards=self.boards if others else (),
            looked=(),
            more=len(self.records) > MOST_TRACED or len(others) > MOST_TRACED,
        )

    def _with_copies_of_later(self, traced: Sequence[TracedRecord]) -> list[TracedRecord]:
        """Of an id in several partitions the job may have read a later record first: the others are its copies."""
        counted: dict[tuple[str | None, str | None], Place] = {
            (record.user_id, record.digest): one.raw
            for record, one in zip(self.records, traced, strict=False)
            if one.outcome in (Outcome.ENRICHED, Outcome.LATE) and one.evidence is Evidence.OUTPUT and record.digest
        }

        def settled(record: Record, one: TracedRecord) -> TracedRecord:
            place = counted.get((record.user_id, record.digest))
            if one.outcome is not Outcome.NOT_FOUND or record.reason is not None or place is None:
                return one
            if place.partition == record.partition:
                return one  # there the job reads in order: this one is lost
            return replace(one, outcome=Outcome.COPY, evidence=Evidence.JUDGEMENT, copy_of=place)

        return [settled(record, one) for record, one in zip(self.records, traced, strict=False)]

    def _with_scores(self, one: TracedRecord, user_id: str | None) -> TracedRecord:
        scores = tuple(_place(score) for score in self.scores if score.user_id == user_id)
        return replace(one, scores=scores[:MOST_TRACED], boards=self.boards if scores else ())

    def _fate(self, record: Record, first: Record | None, player: int) -> TracedRecord:
        copy = first is not None and record.reason is None
        conflict = (
            copy and first is not None and None not in (record.digest, first.digest) and record.digest != first.digest
        )
        traced = TracedRecord(
            raw=_place(record),
            event_type=record.event_type,
            player=player,
            reason=DUP_CONFLICT if conflict else record.reason,
            field="event_id" if conflict else record.field,
            late=record.late,
            current=record.current,
            archive_file=record.file,
            copy_of=_place(first) if copy and first is not None else None,
        )
        judged = _judged(record, copy=copy, conflict=conflict)
        if not record.current:
            traced = replace(traced, outcome=_OUTCOMES[judged], evidence=Evidence.JUDGEMENT)
            note = "the raw topic was created again since: only the archive knows the record"
            return self._received(traced, record, otherwise=note)
        note = None
        if record.offset < self.raw_begins.get(record.partition, 0):
            note = "Kafka no longer holds the record, and it was archived without headers"
        traced = self._received(traced, record, otherwise=note)
        if self.read_upto.get(record.partition, 0) <= record.offset:
            traced = replace(traced, outcome=Outcome.PENDING, evidence=Evidence.NONE)
        return self._written(traced, record, judged)

    def _written(self, traced: TracedRecord, record: Record, judged: Fate) -> TracedRecord:
        """With the output record that is about it: where it belongs, or else anywhere."""
        usual = [judged] if judged is not Fate.COPY else []
        others = [fate for fate in (Fate.ENRICHED, Fate.LATE, Fate.DEAD) if fate not in usual]
        for fate in (*usual, *(others if traced.outcome is not Outcome.PENDING else ())):
            searched = self.search.find(record, fate)
            if searched.place is not None:
                counted = fate is not Fate.DEAD
                return replace(
                    traced,
                    outcome=_OUTCOMES[fate],
                    evidence=Evidence.OUTPUT,
                    written=searched.place,
                    reason=None if counted else traced.reason,
                    field=None if counted else traced.field,
                )
            if fate in usual and not searched.kept:
                return replace(traced, outcome=_OUTCOMES[judged], evidence=Evidence.JUDGEMENT)
        if traced.outcome is Outcome.PENDING:
            return traced
        if judged is Fate.COPY:
            return replace(traced, outcome=Outcome.COPY, evidence=Evidence.JUDGEMENT)
        return replace(traced, outcome=Outcome.NOT_FOUND, evidence=Evidence.NONE)

    def _received(self, traced: TracedRecord, record: Record, otherwise: str | None) -> TracedRecord:
        """With how the API received it: by the archived headers, else by Kafka's unless a note says why not."""
        headers = record.headers
        if headers is None and otherwise is not None:
            return replace(traced, received_note=otherwise)
        if headers is None:
            headers = self.headers(record.topic, record.partition, record.offset)
        if headers is None:
            return replace(traced, received_note="Kafka did not hand the record out")
        key = _header(headers, KEY_HEADER)
        if not key:
            return replace(traced, received_note="not over HTTP: its sender wrote to Kafka")
        time = _header(headers, RECEIVED_HEADER)
        at = int(time) if time.isdecimal() and len(time) < 16 else None
        return replace(traced, received=Received(key, _header(headers, APP_HEADER), at))


def _judged(record: Record, *, copy: bool, conflict: bool) -> Fate:
    if record.reason is not None or conflict:
        return Fate.DEAD
    if copy:
        return Fate.COPY
    return Fate.LATE if record.late else Fate.ENRICHED


def _headers_at(settings: Settings, topic: str, partition: int, offset: int) -> Mapping[str, bytes | None] | None:
    """The headers of the record at a position; None where Kafka does not hand it out."""
    start, upto = {partition: offset}, {partition: offset + 1}
    try:
        for chunk in read_range(
            settings.kafka, topic, start, upto, stall_seconds=_HEADERS_SECONDS, batch_records=1, with_headers=True
        ):
            return chunk.raw.headers[0] if len(chunk.raw) else None
    except ServiceError:
        return None
    return None


def _place(record: Record) -> Place:
    return Place(record.topic, record.partition, record.offset, record.time)


def _header(headers: Mapping[str, bytes | None], name: str) -> str:
    """A header as printable text: any producer can send one."""
    text = (headers.get(name) or b"").decode("utf-8", errors="replace")[:100]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

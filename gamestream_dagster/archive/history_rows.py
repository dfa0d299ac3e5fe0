"""Game events of a file to rows of the history: judged by the catalogue's rule, enriched as intake does.

Two things differ from a record of Kafka. The run's time takes the place of the Kafka timestamp, so an event more than
an hour after it is refused; and no event is too old or late, as nobody waited for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from gamestream_dagster.archive.decode import ACCEPTED, archive_schema
from gamestream_dagster.archive.history import DAY_MS, HISTORY, history_columns
from gamestream_dagster.catalogue.game_event import GameCatalogue
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.enrichment.geo_table import UNKNOWN
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.events.game_files import Sample
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameOutcome, GameReason, GameRefused

PLACE: Final = "place"
"""Column of staged rows: which event of the file it is, from 0. Several can begin on one line."""


class Placed(NamedTuple):
    """An accepted event and where it stands."""

    place: int
    line: int
    value: bytes
    event: GameEvent


class HistoryRows:
    """Judges and enriches the events of one run.

    Args:
        source: the history (`history_source`).
        tables: of countries and devices; the run keeps the versions that it begins with.
        run: its id.
        at_ms: when it began, milliseconds.
    """

    def __init__(self, source: Source, tables: Tables, run: str, at_ms: int) -> None:
        if source.game is None:
            raise TypeError(f"{source.topic} has no game events")
        self.schema = archive_schema(history_columns(source)).append(pa.field(PLACE, pa.int64()))
        self.geo, self.devices = tables.geo, tables.devices
        self._judge = GameEventJudge(_without_age(source.game))
        self._run = run
        self._at_ms = at_ms

    def outcome(self, sample: Sample) -> GameOutcome:
        """What becomes of one event of the file."""
        if sample.problem:
            return GameRefused(GameReason.NOT_JSON, None, sample.problem)
        return self._judge.judge(sample.value, self._at_ms)

    def table(self, events: Sequence[Placed]) -> pa.Table:
        """Rows of accepted events, in order, without their offsets."""
        size = len(events)
        columns: dict[str, Any] = dict(
            zip(GameEvent._fields, zip(*(one.event for one in events), strict=True), strict=True)
        )
        addresses, sent = columns.pop("ip_address"), columns.pop("country")
        devices = [self.devices.device_of(model) for model in columns["device_model"]]
        times, values = columns["event_time_millis"], [one.value for one in events]
        columns |= {
            "topic": [HISTORY] * size,
            "partition": [millis // DAY_MS for millis in times],
            "item": [0] * size,
            "kafka_timestamp": times,
            "key": [(user or one).encode() for user, one in zip(columns["user_id"], columns["event_id"], strict=True)],
            "value": [None if address else value for address, value in zip(addresses, values, strict=True)],
            "value_bytes": [len(value) for value in values],
            "outcome": [ACCEPTED] * size,
            "late": [False] * size,
            "country": [self._country(*pair) for pair in zip(sent, addresses, strict=True)],
            "geo_version": [
                self.geo.version if address and not country else None
                for country, address in zip(sent, addresses, strict=True)
            ],
            "device_category": [one.category for one in devices],
            "device_tier": [one.tier for one in devices],
            "device_version": [self.devices.version] * size,
            "run": [self._run] * size,
            "line": [one.line for one in events],
            PLACE: [one.place for one in events],
        }
        nothing = pa.nulls(size)
        return pa.table(
            [pa.array(columns[field.name], field.type) if field.name in columns else nothing.cast(field.type)
             for field in self.schema],
            schema=self.schema,
        )  # fmt: skip

    def _country(self, sent: str | None, address: str | None) -> str:
        return sent or (self.geo.country_of(address) if address else UNKNOWN)


def _without_age(catalogue: GameCatalogue) -> GameCatalogue:
    times = catalogue.times
    return catalogue.model_copy(update={"times": times.model_copy(update={"max_age": times.latest})})

"""Events of the drill, good and bad, written to Kafka as games do."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import Producer

from gamestream_dagster.catalogue.sources import score_source
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.security.shipping import TOPIC as LOGS
from gamestream_dagster.settings import Settings

_FLUSH_SECONDS: Final = 60.0
_PLAYERS: Final = 40
_STEADY_SECONDS: Final = 0.5


class Events:
    """Sends events; each method returns when Kafka has them.

    Raises:
        DrillError: Kafka did not take them.
    """

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(settings.kafka.options())
        self._scores = score_source(settings).topic

    def scores(self, count: int, behind: timedelta = timedelta(0)) -> None:
        """Score events, `behind` the clock."""
        at = int((time.time() - behind.total_seconds()) * 1000)
        for number in range(count):
            player = f"drill-{number % _PLAYERS}"
            team = f"drill-team-{number % 5}"
            self._send(self._scores, player, {
                "user_id": player, "team_id": team, "team_name": team, "score": 1 + number % 9,
                "event_time_millis": at, "event_id": str(uuid.uuid4()),
            })  # fmt: skip
        self._flush()

    def log(self, lines: Iterable[str]) -> None:
        """Log lines of one machine."""
        for line in lines:
            self._producer.produce(LOGS, line.encode(), b"drill")
        self._flush()

    @contextmanager
    def steady_scores(self) -> Iterator[None]:
        """Some score events every half second, while the body runs."""
        ended = threading.Event()

        def play() -> None:
            while not ended.wait(_STEADY_SECONDS):
                self.scores(20)

        thread = threading.Thread(target=play, name="drill-scores", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def games(self, count: int, country: str | None = None) -> None:
        """Game events of players, with or without a country."""
        for number in range(count):
            where = {"country": country} if country else {}
            self._game(f"drill-{number % _PLAYERS}", "player_join", {"level": 1}, **where)
        self._flush()

    def reports(self, count: int, latency_ms: float) -> None:
        """Reports of game servers about their latency."""
        for number in range(count):
            properties = {"server_id": f"drill-{number % 4}", "latency_ms": latency_ms, "error_rate": 0}
            self._game(f"drill-server-{number % _PLAYERS}", "server_health", properties, region="EU", country="DE")
        self._flush()

    def broken(self, count: int) -> None:
        """Records that are no events."""
        for number in range(count):
            self._producer.produce(RAW_TOPIC, b'{"event_type": "player_join"', key=f"drill-{number}")
        self._flush()

    def _game(self, player: str, kind: str, properties: dict[str, Any], **fields: str) -> None:
        now = datetime.now(UTC).isoformat()
        event = {"event_id": str(uuid.uuid4()), "user_id": player, "event_type": kind, "event_time": now}
        self._send(RAW_TOPIC, player, {**event, **fields, "properties": properties})

    def _send(self, topic: str, key: str, value: dict[str, Any]) -> None:
        while True:
            try:
                self._producer.produce(topic, json.dumps(value), key=key)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _flush(self) -> None:
        if self._producer.flush(_FLUSH_SECONDS):
            raise DrillError("Kafka does not take the events of the drill; see `gamestream logs kafka`")

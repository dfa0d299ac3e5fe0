"""The metrics of the HTTP API of intake: its requests, and the events by verdict."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter

from gamestream_dagster.http_server.metrics import RequestMetrics
from gamestream_dagster.ingest.door import Answer


class Metrics(RequestMetrics):
    """The metrics of one server.

    Args:
        kafka_ready: whether Kafka takes events.
        bodies: requests under way with a body.
        remembered: remembered events.
    """

    def __init__(
        self, kafka_ready: Callable[[], bool], bodies: Callable[[], int], remembered: Callable[[], int]
    ) -> None:
        super().__init__("gamestream_ingest")
        self._events = Counter(
            "gamestream_ingest_events", "Events by verdict; dry runs are left out.", ("app", "verdict"),
            registry=self.registry,
        )  # fmt: skip
        self._refused = Counter(
            "gamestream_ingest_refused_events", "Refused events by code.", ("app", "code"), registry=self.registry
        )
        self.gauge("kafka_ready", "1 while Kafka takes events.", lambda: float(kafka_ready()))
        self.gauge("bodies_in_memory", "Requests whose bodies are in memory.", bodies)
        self.gauge("remembered_events", "Events that would be answered `duplicate`.", remembered)

    def answer(self, app: str, answer: Answer) -> None:
        """Count the events of a batch."""
        if answer.dry_run:
            return
        for verdict, count in answer.counts.items():
            self._events.labels(app, verdict.value).inc(count)
        for code, count in answer.codes.items():
            self._refused.labels(app, code).inc(count)

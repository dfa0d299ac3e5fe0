"""The server's metrics for Prometheus. Labels hold route templates and names of ours, never a path or an id."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gamestream_dagster.ingest.door import Answer

MEDIA_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one server, in a registry of their own.

    Args:
        kafka_ready: whether Kafka takes events.
        bodies: requests under way with a body.
        remembered: remembered events.
    """

    def __init__(
        self, kafka_ready: Callable[[], bool], bodies: Callable[[], int], remembered: Callable[[], int]
    ) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "gamestream_ingest_requests", "Answered requests.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "gamestream_ingest_request_seconds", "From a request to its answer.", ("route",), registry=self._registry
        )
        self._events = Counter(
            "gamestream_ingest_events", "Events by verdict; dry runs are left out.", ("app", "verdict"),
            registry=self._registry,
        )  # fmt: skip
        self._refused = Counter(
            "gamestream_ingest_refused_events", "Refused events by code.", ("app", "code"), registry=self._registry
        )
        for name, meaning, ask in (
            ("kafka_ready", "1 while Kafka takes events.", kafka_ready),
            ("bodies_in_memory", "Requests whose bodies are in memory.", bodies),
            ("remembered_events", "Events that would be answered `duplicate`.", remembered),
        ):
            Gauge(f"gamestream_ingest_{name}", meaning, registry=self._registry).set_function(
                lambda ask=ask: float(ask())
            )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def answer(self, app: str, answer: Answer) -> None:
        """Count the events of a batch."""
        if answer.dry_run:
            return
        for verdict, count in answer.counts.items():
            self._events.labels(app, verdict.value).inc(count)
        for code, count in answer.codes.items():
            self._refused.labels(app, code).inc(count)

    def text(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self._registry)

"""Metrics for Prometheus of one HTTP server. Labels hold route templates and names of ours, never a path or an id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST


class RequestMetrics:
    """Requests of a server, in a registry of their own; servers add metrics of what they do.

    Args:
        prefix: of every metric's name, such as `gamestream_ingest`.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.registry = CollectorRegistry()
        self._requests = Counter(
            f"{prefix}_requests", "Answered requests.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            f"{prefix}_request_seconds", "From a request to its answer.", ("route",), registry=self.registry
        )

    def gauge(self, name: str, meaning: str, ask: Callable[[], float]) -> None:
        """Add a gauge that is asked for its value whenever the metrics are read."""
        Gauge(f"{self._prefix}_{name}", meaning, registry=self.registry).set_function(ask)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self.registry)

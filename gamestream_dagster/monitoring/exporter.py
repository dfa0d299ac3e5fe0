"""The series for a Prometheus server: the same names as in `series.yaml`, collected at most every 15 s."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, select

from gamestream_dagster.alerts.export import RAISED
from gamestream_dagster.alerts.rules import Book, load_book
from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.monitoring.collect import SOURCES, Collected, Source, Within, collect
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import alerts

FRESH_SECONDS = 15.0
_RAISED_MEANS = "1 for each active alert, by its id in the table alerts."


class SeriesCollector(Collector):
    """Collects when it is scraped; scrapes within 15 s share a collection, and wait for one that is under way.

    Args:
        book: the series and their meaning.
        ask: collects every source.
        clock: seconds.
    """

    def __init__(self, book: Book, ask: Callable[[], Collected], clock: Callable[[], float] = time.monotonic) -> None:
        self._book = book
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: Collected | None = None
        self._at = 0.0

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The names, so that registering asks no server."""
        return self._families(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every series; one whose source does not answer has no samples."""
        with self._lock:
            if self._kept is None or self._clock() - self._at > FRESH_SECONDS:
                self._kept, self._at = self._ask(), self._clock()
            samples = self._kept.samples
        yield from self._families(samples)

    def _families(self, samples: Iterable[Sample]) -> list[GaugeMetricFamily]:
        by_name: dict[str, list[Sample]] = {}
        for sample in samples:
            by_name.setdefault(sample.series, []).append(sample)
        known = {name: (one.meaning, one.labels) for name, one in self._book.series.items()}
        known[RAISED] = (_RAISED_MEANS, ("alert_id",))
        found: list[GaugeMetricFamily] = []
        for name, (meaning, labels) in known.items():
            family = GaugeMetricFamily(name, meaning, labels=labels)
            # NaN says that there is no reading; in Prometheus it would spoil every average over it
            for sample in (one for one in by_name.get(name, ()) if not math.isnan(one.value)):
                given = dict(sample.labels)
                family.add_metric([given.get(label, "") for label in labels], sample.value)
            found.append(family)
        return found


def raised(settings: Settings, now: float) -> list[Sample]:
    """`gamestream_alert_raised` of each active alert, whoever raised it."""
    with open_engine(settings) as engine, engine.connect() as connection:
        return _raised(connection, now)


def _raised(connection: Connection, now: float) -> list[Sample]:
    active = connection.scalars(select(alerts.c.alert_id).where(alerts.c.cleared_at.is_(None)))
    return [Sample(RAISED, labels_of({"alert_id": one}), now, 1.0) for one in active]


def serve(
    settings: Settings, within: Within, port: int, host: str = "127.0.0.1"
) -> tuple[WSGIServer, threading.Thread]:
    """Start the server in a thread; returns both.

    Raises:
        RuleError: an entry of the alerts is wrong.
        OSError: the port is taken.
    """
    sources: dict[str, Source] = {**SOURCES, "raised": raised}
    registry = CollectorRegistry()
    registry.register(SeriesCollector(load_book(settings.home), lambda: collect(settings, within, sources)))
    return start_http_server(port, addr=host, registry=registry)

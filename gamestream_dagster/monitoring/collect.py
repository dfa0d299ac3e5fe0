"""Asks every source once. One that does not answer gives no samples, and a sentence: no data is not zero."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.errors import sentence_of
from gamestream_dagster.monitoring import (
    dagster_series,
    flink_series,
    kafka_series,
    proof_series,
    server_series,
    warehouse_series,
)
from gamestream_dagster.settings import Settings

Source = Callable[[Settings, float], list[Sample]]
Within = Callable[[Callable[[], list[Sample]]], list[Sample]]
"""Runs a request, perhaps with a time limit."""

SOURCES: Mapping[str, Source] = {
    "flink": flink_series.flink_jobs,
    "kafka": kafka_series.newest_events,
    "dead_letters": kafka_series.dead_letters,
    "enrichment": kafka_series.newest_enriched,
    "dagster": dagster_series.dagster_runs,
    "verdicts": proof_series.verdicts,
    "messages": proof_series.messages,
    "warehouse": warehouse_series.warehouse,
    "servers": server_series.http_servers,
}
"""By the name that `series.yaml` gives them."""


@dataclass(frozen=True)
class Collected:
    """What the sources gave at one time."""

    at: float
    samples: tuple[Sample, ...]
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    """A sentence for each source that did not answer."""


def collect(
    settings: Settings,
    within: Within = lambda ask: ask(),
    sources: Mapping[str, Source] = SOURCES,
    clock: Callable[[], float] = time.time,
) -> Collected:
    """Ask every source once.

    Args:
        settings: of the stack.
        within: runs each request; gives up a source that hangs.
        sources: by name.
        clock: epoch seconds.
    """
    now = clock()
    samples: list[Sample] = []
    failed: dict[str, str] = {}
    for name, source in sources.items():
        try:
            samples += within(partial(source, settings, now))
        except Exception as error:  # noqa: BLE001 - whatever it was, this source has no data, and that is said
            failed[name] = sentence_of(error)
    samples += [
        Sample("alert_source_up", labels_of({"source": name}), now, float(name not in failed)) for name in sources
    ]
    return Collected(now, tuple(samples), failed)

"""Series about topics: the newest event, dead letters, unknown countries."""

from __future__ import annotations

import re
from typing import Final

from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.dead_letters.rate import recent_rate
from gamestream_dagster.dead_letters.reading import DeadLetterReader, Seen
from gamestream_dagster.dead_letters.selection import Selection
from gamestream_dagster.enrichment.shares import counted
from gamestream_dagster.monitoring import enriched
from gamestream_dagster.settings import Settings

WRITTEN_BY_GAMES: Final = (RAW_TOPIC, "user-score")
RATE_MINUTES: Final = 10
_SAMPLE_EVENTS: Final = 500
_SAMPLE_LETTERS: Final = 3
_REGIONS: Final = 50
_HOUR_SECONDS: Final = 3600.0
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]{1,80}")


def newest_events(settings: Settings, now: float) -> list[Sample]:
    """`hours_since_last_event` of each topic that games write to and that holds a record."""
    admin = KafkaAdmin(settings.kafka)
    found: list[Sample] = []
    for topic in WRITTEN_BY_GAMES:
        try:
            newest = admin.newest_times(topic)
        except NotFoundError:
            continue
        if not newest:
            continue
        partition, (offset, millis) = max(newest.items(), key=lambda one: one[1][1])
        hours = max(0.0, now - millis / 1000) / _HOUR_SECONDS
        evidence = {"newest": f"p{partition}@{offset}", "time": millis}
        found.append(Sample("hours_since_last_event", labels_of({"topic": topic}), now, hours, evidence))
    return found


def dead_letters(settings: Settings, now: float) -> list[Sample]:
    """Events and dead letters per minute of the last ten minutes; some letters as evidence.

    The limit 0 lets them be counted one by one, up to 20,000.
    """
    millis = int(now * 1000)
    since = millis - RATE_MINUTES * 60_000
    try:
        rate = recent_rate(settings.kafka, KafkaAdmin(settings.kafka), 0.0, millis, window_ms=RATE_MINUTES * 60_000)
    except NotFoundError:
        return []
    evidence = {"letters": rate.dead, "some": _some_letters(settings.kafka, since)} if rate.dead else {}
    return [
        Sample("total_events_per_minute", (), now, rate.records / RATE_MINUTES),
        Sample("dlq_events_per_minute", (), now, rate.dead / RATE_MINUTES, evidence),
    ]


def _some_letters(kafka: KafkaConnection, since: int) -> list[str]:
    """Position, reason and event id of some letters; an error here is no reason to lose the count."""
    found: list[str] = []
    try:
        for letter in DeadLetterReader(kafka).letters(Selection(since=since), seen=Seen()):
            # a sender chooses the id: in a chat it could call everybody
            event_id = letter.event_id if letter.event_id and _PLAIN.fullmatch(letter.event_id) else "with an odd id"
            found.append(f"{letter.place} {letter.reason} event {event_id}")
            if len(found) == _SAMPLE_LETTERS:
                break
    except ServiceError as error:
        return [f"not read: {error.reason}"]
    return found


def newest_enriched(settings: Settings, now: float) -> list[Sample]:
    """What the newest enriched events say: about countries, and about game servers."""
    events = enriched.newest_enriched(settings, _SAMPLE_EVENTS)
    country = counted(event for _, event in events).country
    found: list[Sample] = []
    if country.events:
        found = [
            Sample("unknown_country_share", (), now, country.unknown_share, {"unknown": country.unknown}),
            Sample("unknown_country_events", (), now, float(country.events)),
        ]
    since = int(now * 1000) - RATE_MINUTES * 60_000
    for region, readings in sorted(enriched.latencies(events, since).items())[:_REGIONS]:
        labels = labels_of({"region": region})
        found.append(Sample("server_latency_p95_ms", labels, now, enriched.p95(readings), {"most": max(readings)}))
        found.append(Sample("server_latency_readings", labels, now, float(len(readings))))
    return found

"""Runs the HTTP API of one stack: builds its parts from the settings and serves until SIGTERM."""

from __future__ import annotations

from sqlalchemy import Engine

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.fates.http_ledger import Journal, fold, journal_folder
from gamestream_dagster.http_server.key_ring import KeyRing
from gamestream_dagster.http_server.key_store import KeyStore
from gamestream_dagster.http_server.rates import Bodies, Limits, Rates
from gamestream_dagster.http_server.running import KEY_QUERY_SECONDS, run
from gamestream_dagster.http_server.signing import Signatures
from gamestream_dagster.ingest.app import Parts, build
from gamestream_dagster.ingest.counting import Counting
from gamestream_dagster.ingest.door import Door
from gamestream_dagster.ingest.fates import TraceProcess
from gamestream_dagster.ingest.game_rule import GameRule, event_schemas
from gamestream_dagster.ingest.geo import Locator
from gamestream_dagster.ingest.metrics import Metrics
from gamestream_dagster.ingest.outbox import Outbox
from gamestream_dagster.ingest.remembered import Remembered
from gamestream_dagster.settings import Settings
from gamestream_dagster.settings.ingest import IngestSettings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Raises:
        SettingsError: a setting cannot be used.
    """
    database = engine(settings, statement_timeout_seconds=KEY_QUERY_SECONDS)
    try:
        app = build(parts_of(settings, database), settings.ingest_trusted_proxies)
        run(app, settings.ingest_host, settings.port("ingest"))
    finally:
        database.dispose()


def limits_of(settings: IngestSettings) -> Limits:
    """The limits of intake."""
    return Limits(
        server="ingest",
        storage=settings.ingest_limits_storage,
        storage_setting="ingest_limits_storage",
        per_address=settings.ingest_rate_per_address,
        per_key=settings.ingest_rate_per_key,
        events_per_key=settings.ingest_events_per_key,
    )


def parts_of(settings: Settings, database: Engine) -> Parts:
    """What the routes work with on a real stack."""
    outbox = Outbox(settings.kafka, RAW_TOPIC, settings.ingest_delivery_seconds)
    remembered = Remembered(settings.ingest_remembered_events)
    bodies = Bodies()
    folder = journal_folder(settings)
    return Parts(
        door=Door(GameRule(), outbox, remembered, Locator(Tables(settings.enrichment_dir))),
        outbox=outbox,
        keys=KeyRing(KeyStore(database)),
        rates=Rates(limits_of(settings)),
        bodies=bodies,
        signatures=Signatures(lambda: settings.ingest_signing_secret_value),
        metrics=Metrics(lambda: outbox.state.ready, lambda: bodies.held, lambda: len(remembered)),
        body_seconds=settings.ingest_body_seconds,
        schemas=event_schemas,
        fates=TraceProcess(settings),
        counting=Counting(Journal(folder), lambda: fold(database, folder)),
    )

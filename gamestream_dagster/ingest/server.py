"""Runs the HTTP API of one stack: builds its parts from the settings and serves until SIGTERM."""

from __future__ import annotations

from typing import Any, Final

import uvicorn
from sqlalchemy import Engine

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.fates.http_ledger import Journal, fold, journal_folder
from gamestream_dagster.ingest.app import Parts, build
from gamestream_dagster.ingest.counting import Counting
from gamestream_dagster.ingest.door import Door
from gamestream_dagster.ingest.fates import TraceProcess
from gamestream_dagster.ingest.game_rule import GameRule, event_schemas
from gamestream_dagster.ingest.geo import Locator
from gamestream_dagster.ingest.key_ring import KeyRing
from gamestream_dagster.ingest.key_store import KeyStore
from gamestream_dagster.ingest.metrics import Metrics
from gamestream_dagster.ingest.outbox import Outbox
from gamestream_dagster.ingest.rates import Bodies, Rates
from gamestream_dagster.ingest.remembered import Remembered
from gamestream_dagster.ingest.signing import Signatures
from gamestream_dagster.settings import Settings

GRACE_SECONDS: Final = 14
"""After SIGTERM, for the requests that are under way; their events are delivered within it or told `retry`."""
MOST_CONNECTIONS: Final = 500
KEY_QUERY_SECONDS: Final = 5

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"}},
    "root": {"level": "WARNING", "handlers": ["out"]},
    "loggers": {
        "gamestream": {"level": "INFO"},
        "gamestream_dagster": {"level": "INFO"},
        "uvicorn": {"level": "INFO"},
    },
}


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Raises:
        SettingsError: a setting cannot be used.
    """
    database = engine(settings, statement_timeout_seconds=KEY_QUERY_SECONDS)
    try:
        app = build(parts_of(settings, database), settings.ingest_trusted_proxies)
        uvicorn.Server(configuration(app, settings.ingest_host, settings.port("ingest"))).run()
    finally:
        database.dispose()


def configuration(app: Any, host: str, port: int) -> uvicorn.Config:
    """How uvicorn serves the application.

    h11 bounds a request's head at 64 KiB, httptools does not. uvicorn's own belief in proxies is off: it trusts
    127.0.0.1 by default.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        log_config=LOGGING,
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
        rates=Rates(settings),
        bodies=bodies,
        signatures=Signatures(lambda: settings.ingest_signing_secret_value),
        metrics=Metrics(lambda: outbox.state.ready, lambda: bodies.held, lambda: len(remembered)),
        body_seconds=settings.ingest_body_seconds,
        schemas=event_schemas,
        fates=TraceProcess(settings),
        counting=Counting(Journal(folder), lambda: fold(database, folder)),
    )

"""Runs the serving API of one stack: builds its parts from the settings and serves until SIGTERM."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.sources import source_of_board, stack_sources
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.clients.valkey import async_client
from gamestream_dagster.http_server.key_ring import KeyRing
from gamestream_dagster.http_server.key_store import KeyStore
from gamestream_dagster.http_server.rates import Limits, Rates
from gamestream_dagster.http_server.running import KEY_QUERY_SECONDS, run
from gamestream_dagster.http_server.signing import Signatures
from gamestream_dagster.serving_api.app import Parts, build
from gamestream_dagster.serving_api.cuts import Cuts
from gamestream_dagster.serving_api.erasures import erasures_of
from gamestream_dagster.serving_api.explaining import explainer_of
from gamestream_dagster.serving_api.held import HeldViews
from gamestream_dagster.serving_api.job_records import JobRecords
from gamestream_dagster.serving_api.live import LiveMetrics, live_metrics
from gamestream_dagster.serving_api.metrics import metrics_of
from gamestream_dagster.serving_api.ranks.answering import PlayerRanks
from gamestream_dagster.serving_api.ranks.ranked import ranked_of
from gamestream_dagster.serving_api.ranks.reader import RankReader
from gamestream_dagster.serving_api.ranks.totals_topic import incarnation
from gamestream_dagster.serving_api.reading import BoardReader
from gamestream_dagster.settings import Ranks, Settings
from gamestream_dagster.settings.api import ApiSettings

KAFKA_SECONDS: Final = 1.0
"""Longest wait for one answer of Kafka: without it a board is served with an unknown cut."""
BODY_SECONDS: Final = 15.0
RANKS_SECONDS: Final = 2.0
"""Longest wait for Valkey."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Raises:
        SettingsError: a setting cannot be used.
        CatalogueError: a board's description is not usable.
    """
    database = engine(settings, statement_timeout_seconds=KEY_QUERY_SECONDS)
    try:
        run(build(parts_of(settings, database), settings.api_trusted_proxies), settings.api_host, settings.port("api"))
    finally:
        database.dispose()


def served_boards(settings: Settings) -> dict[str, Board]:
    """The boards of the stack that have a table.

    Raises:
        CatalogueError: a description is not usable.
    """
    outputs = load_boards(season=settings.season)
    return {name: board for name, board in outputs.items() if board.ranked and board.sinks.postgres is not None}


def limits_of(settings: ApiSettings) -> Limits:
    """The limits of the serving API."""
    return Limits(
        server="api",
        storage=settings.api_limits_storage,
        storage_setting="api_limits_storage",
        per_address=settings.api_rate_per_address,
        per_key=settings.api_rate_per_key,
    )


def ranks_of(settings: Settings) -> PlayerRanks | None:
    """The ranks of all players, where the stack keeps them."""
    if settings.ranks is not Ranks.ALL:
        return None
    ranked, kafka = ranked_of(settings), KafkaAdmin(settings.kafka, KAFKA_SECONDS)
    reader = RankReader(async_client(settings, RANKS_SECONDS), settings.valkey)
    return PlayerRanks(ranked, reader, lambda: incarnation(kafka, ranked.output.topic))


def parts_of(settings: Settings, database: Engine) -> Parts:
    """What the routes work with on a real stack."""
    boards, sources = served_boards(settings), stack_sources(settings)
    topics = {name: source_of_board(board, sources).topic for name, board in boards.items()}
    reader = BoardReader(
        database, Cuts(KafkaAdmin(settings.kafka, KAFKA_SECONDS), JobRecords(database)), topics, settings.season
    )
    views, explainer = HeldViews(reader), explainer_of(settings)
    return Parts(
        boards=boards,
        topics=topics,
        season=settings.season,
        views=views,
        seasons=reader.seasons,
        check=reader.check,
        explainer=explainer,
        ranks=ranks_of(settings),
        erasures=erasures_of(settings, database),
        live=LiveMetrics(database, live_metrics(settings)),
        keys=KeyRing(KeyStore(database)),
        rates=Rates(limits_of(settings)),
        signatures=Signatures(lambda: settings.ingest_signing_secret_value),
        metrics=metrics_of(views, explainer),
        body_seconds=BODY_SECONDS,
    )

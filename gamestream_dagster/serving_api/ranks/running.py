"""Runs the loader of a stack until SIGTERM: opens its parts, and opens them anew when the topic is another one."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from gamestream_dagster.catalogue.sources import source_of_board, stack_sources
from gamestream_dagster.clients.errors import NotFoundError, ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.clients.valkey import client
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.serving_api.cuts import Cuts
from gamestream_dagster.serving_api.job_records import JobRecords
from gamestream_dagster.serving_api.ranks.loader import Loader, TopicEnds
from gamestream_dagster.serving_api.ranks.ranked import Ranked, ranked_of
from gamestream_dagster.serving_api.ranks.store import RankStore, SetKeys
from gamestream_dagster.serving_api.ranks.totals_topic import TotalsTopic, incarnation
from gamestream_dagster.settings import Settings

IDENTITY_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 2.0
KAFKA_SECONDS: Final = 5.0
LOGGED_RECORDS: Final = 100_000

log = logging.getLogger(__name__)


class TopicAnewError(GamestreamError):
    """The topic of totals was deleted and created again, or has other partitions: the set is of what was before."""


def load_for_ever(settings: Settings) -> None:
    """Load until SIGTERM or SIGINT.

    Raises:
        SettingsError: the stack keeps no ranks.
        CatalogueError: an output's description is not usable.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    ranked = ranked_of(settings)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    load_until(ended, lambda: opened(settings, ranked), settings.home / "ranks" / "heartbeat")
    log.info("stopped")


def load_until(ended: threading.Event, open_loader: Open, heartbeat: Path) -> None:
    """Load until `ended`, opening anew whatever broke; each reason is logged once."""
    told = ""
    while not ended.is_set():
        try:
            with open_loader() as (loader, check):
                told = ""
                _rounds(loader, check, ended, heartbeat)
        except TopicAnewError as error:
            log.warning("%s", error)
        except ServiceError as error:
            if str(error) != told:
                told = str(error)
                log.warning("%s", told)
            if isinstance(error, NotFoundError):
                heartbeat.touch()  # nothing is wrong: a new stack has no topic before `gamestream apply`
            ended.wait(PAUSE_SECONDS)


@contextmanager
def opened(settings: Settings, ranked: Ranked) -> Iterator[tuple[Loader, Check]]:
    """The loader of the topic as it is now, and what sees that it still is.

    Raises:
        ServiceError: a server does not answer, or there is no such topic yet.
    """
    admin, topic = KafkaAdmin(settings.kafka, KAFKA_SECONDS), ranked.output.topic
    topic_id = incarnation(admin, topic)
    beginnings = admin.beginning_offsets(topic)
    with ExitStack() as stack:
        store = RankStore(stack.enter_context(client(settings)), SetKeys(topic_id), settings.valkey)
        state = store.state()
        if state.position and not _within(state.position, beginnings, admin.end_offsets(topic)):
            # compaction moves neither end, so records were deleted or lost: the set may hold what is gone
            log.warning("%s no longer holds the position of the ranks", topic)
            store.clear()
            state = store.state()
        if not state.position:
            log.info("loading %s anew", topic)
            store.clear()  # also what is left of a spoilt one
        position = {partition: state.position.get(partition, begin) for partition, begin in beginnings.items()}
        reader = TotalsTopic(settings.kafka, ranked, position)
        stack.callback(reader.close)
        engine = stack.enter_context(open_engine(settings))
        events = source_of_board(ranked.output, stack_sources(settings)).topic

        def ends() -> TopicEnds:
            return TopicEnds(admin.end_offsets(topic, read_committed=True), admin.end_offsets(topic))

        loader = Loader(ranked, events, reader, store, Cuts(admin, JobRecords(engine)), ends=ends)
        yield loader, Check(admin, topic, topic_id, frozenset(position))


def _within(position: Mapping[int, int], beginnings: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(
        beginnings.get(partition, 0) <= offset <= ends.get(partition, 0) for partition, offset in position.items()
    )


class Check:
    """Sees that a topic is the one that is loaded, and has no new partition."""

    def __init__(self, admin: KafkaAdmin, topic: str, topic_id: TopicId, partitions: frozenset[int]) -> None:
        self._admin = admin
        self._topic = topic
        self._topic_id = topic_id
        self._partitions = partitions

    def __call__(self) -> None:
        """Raise TopicAnewError where it is another one."""
        if self._admin.topic_id(self._topic) != self._topic_id:
            raise TopicAnewError(f"{self._topic} was deleted and created again: it is loaded anew.")
        if frozenset(self._admin.end_offsets(self._topic)) != self._partitions:
            raise TopicAnewError(f"{self._topic} has other partitions than before: it is opened anew.")


Open = Callable[[], AbstractContextManager[tuple[Loader, Check]]]
"""Opens a loader, and what sees that its topic is still the same."""


def _rounds(loader: Loader, check: Check, ended: threading.Event, heartbeat: Path) -> None:
    checked, loaded = time.monotonic(), 0
    while not ended.is_set():
        if time.monotonic() - checked > IDENTITY_SECONDS:
            check()
            checked = time.monotonic()
        before = loaded
        loaded += loader.round()
        if loaded // LOGGED_RECORDS > before // LOGGED_RECORDS:
            log.info("%d totals loaded", loaded)
        heartbeat.touch()

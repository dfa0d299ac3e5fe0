"""Intake and one job on enriched events deployed, what was sent to them, and what the job's outputs hold of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from confluent_kafka import Producer
from sqlalchemy import text

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.observe.sinks import read_tables
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.world import drain, provision, stamped_by_producers

INTAKE, RAW = "event_intake_v1", "game-events-raw"
Event = dict[str, Any]
"""Fields of a game event, and `kafka_time`, milliseconds; fields that are None are not sent."""


class LiveJob:
    """Both jobs deployed, and what was sent to them.

    Args:
        settings: of running servers that hold nothing.
        job: reads game-events-enriched.
        first: sent before the jobs are deployed.
    """

    def __init__(self, settings: Settings, job: str, first: Iterator[Event]) -> None:
        self.settings = settings
        self.sent: list[Event] = []
        self.outputs = [name for name, board in load_boards().items() if board.job == job]
        self._jobs = (INTAKE, job)
        provision(settings)
        with stamped_by_producers(settings, RAW):
            self.send(first)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: apply_job(settings, one), self._jobs))
        self.drain()

    def send(self, events: Iterator[Event]) -> None:
        producer = Producer(self.settings.kafka.options({**PRODUCER_SETTINGS}))
        for event in events:
            value = {name: one for name, one in event.items() if name != "kafka_time" and one is not None}
            producer.produce(RAW, orjson.dumps(value), event["user_id"], timestamp=event["kafka_time"])
            self.sent.append(event)
        assert producer.flush(30) == 0

    def drain(self) -> None:
        for job in self._jobs:
            drain(self.settings, job=job)
        with FlinkRest(self.settings.flink_rest) as flink:
            for job in flink.jobs():
                if not job.state.ended:
                    flink.checkpoint_now(job.job_id, 30)

    def table(self, name: str) -> list[dict[str, Any]]:
        with open_engine(self.settings) as engine:
            return [dict(row) for row in read_tables(engine, [load_boards()[name]])[name]]

    def sql(self, statement: str) -> int:
        with open_engine(self.settings) as engine, engine.begin() as database:
            return database.execute(text(statement)).rowcount

    def reconcile(self, mode: str = "drained") -> ReconciliationRun:
        return reconcile(self.settings, mode, self.outputs, list(Sink))

    def reconcile_under(self, events: Callable[[int, int], Iterator[Event]]) -> ReconciliationRun:
        """A bracket while events flow, which are made by a seed and the time of their beginning, milliseconds."""
        proven = threading.Event()

        def send() -> None:
            for seed in range(2, 200):
                self.send(events(seed, int(time.time() * 1000)))
                if proven.wait(0.1):
                    return

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            try:
                return self.reconcile("bracket")
            finally:
                proven.set()
                sending.result()

    def compared(self) -> dict[tuple[str, Sink], int]:
        """Rows that a proof of both sinks has to compare."""
        return {(name, sink): len(self.table(name)) for name in self.outputs for sink in Sink}

"""A player's rank and neighbours under a steady load of requests: the serving API on Valkey, and Postgres alone."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from bench.figures import Quantiles, spread, spread_cells
from bench.results import BenchError, Result, Table
from bench.rounds import Say, alternate
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.clients.valkey import client
from gamestream_dagster.http_server.key_store import KeyStore
from gamestream_dagster.http_server.keys import Scope
from gamestream_dagster.serving_api.ranks.ranked import ranked_of
from gamestream_dagster.serving_api.ranks.store import BATCH, RankStore, SetKeys, SetState
from gamestream_dagster.serving_api.ranks.totals_topic import incarnation
from gamestream_dagster.settings import Settings

SQL = Path(__file__).with_name("sql")
SERVERS = ("kafka", "registry", "postgres", "valkey", "api")
OURS, POSTGRES = "serving API on Valkey", "Postgres alone"
THREADS = 8
"""Connections: as many as our pool for Postgres gives."""
WINDOW = 5
GIVE_UP = 2.0
"""A contestant that is slower than the load is stopped after so many times the seconds."""
MOST_TOTAL = 1_000_000


@dataclass(frozen=True)
class RanksOptions:
    """Requests for random players, by turns for the rank and for the rows around."""

    rounds: int = 5
    players: int = 1_000_000
    rate: int = 500
    seconds: float = 10.0
    seed: int = 1


@dataclass(frozen=True)
class Answered:
    """One round of a contestant: milliseconds from when a request was due until it was answered."""

    waits: Quantiles
    asked: int

    def __str__(self) -> str:
        return f"p50 {self.waits.p50} ms, p99 {self.waits.p99} ms, {self.waits.count:,} of {self.asked:,} answered"


Ask = Callable[[str, bool], None]
"""Asks for a player: the rank (False) or the rows around (True)."""


def measure(settings: Settings, options: RanksOptions, say: Say) -> Result:
    """Fill both with the same totals, then ask them in turn at the same rate.

    Raises:
        BenchError: the stack keeps no ranks, or a contestant gives another answer.
    """
    result = Result("ranks", asdict(options))
    say(f"fill Valkey and Postgres with {options.players:,} totals")
    with ExitStack() as stack:
        fill_valkey(settings, options)
        engine = stack.enter_context(open_engine(settings))
        fill_postgres(engine, options)
        key = stack.enter_context(_key(engine))
        opened = {OURS: lambda: _api(settings, key), POSTGRES: lambda: _postgres(engine)}
        runs = alternate({name: _runner(options, make) for name, make in opened.items()}, options.rounds, say)
    result.figures["contestants"] = {name: [asdict(run) for run in found] for name, found in runs.items()}
    result.tables = [_table(runs)]
    return result


def totals_of(options: RanksOptions, first: int, last: int) -> dict[str, int]:
    """Players `first` to `last` with their totals, the same for the same seed."""
    return {name_of(number): (number * 7919 + options.seed) % MOST_TOTAL for number in range(first, last)}


def name_of(number: int) -> str:
    """An id."""
    return f"player-{number:07}"


def fill_valkey(settings: Settings, options: RanksOptions) -> None:
    """As the loader leaves the set; there is no loader."""
    topic = ranked_of(settings).output.topic
    admin = KafkaAdmin(settings.kafka)
    topic_id = incarnation(admin, topic)
    whole = SetState(admin.end_offsets(topic) or {0: 0}, complete=True, reason="made for a benchmark")
    with client(settings) as opened:
        store = RankStore(opened, SetKeys(topic_id), settings.valkey)
        store.clear()
        before = SetState()
        for first in range(0, options.players, BATCH):
            store.apply(totals_of(options, first, min(first + BATCH, options.players)), before, whole)
            before = whole


def fill_postgres(engine: sa.Engine, options: RanksOptions) -> None:
    """A table with an index in the order of the ranks."""
    with engine.begin() as database:
        database.exec_driver_sql((SQL / "ranks_table.sql").read_text(encoding="utf-8"))
        driver: Any = database.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy("COPY bench_totals FROM STDIN") as rows:
            for name, total in totals_of(options, 0, options.players).items():
                rows.write_row((name, total))
        database.exec_driver_sql("CREATE INDEX ON bench_totals (total DESC, user_id)")
        database.exec_driver_sql("ANALYZE bench_totals")


@contextmanager
def _key(engine: sa.Engine) -> Iterator[str]:
    store = KeyStore(engine)
    made = store.create("bench", frozenset({Scope.READ}))
    try:
        yield made.token
    finally:
        store.revoke(made.key.key_id)


@contextmanager
def _api(settings: Settings, key: str) -> Iterator[Ask]:
    address = urlsplit(settings.api_url)
    link = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    board = f"/v1/boards/{ranked_of(settings).board.name}"

    def ask(player: str, around: bool) -> None:
        path = f"{board}/around/{player}?window={WINDOW}" if around else f"{board}/players/{player}"
        link.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = link.getresponse()
        body = answer.read()
        if answer.status != 200 or b'"origin":"ranks"' not in body:
            raise BenchError(f"{path} gives {answer.status}, not a rank; see `gamestream logs api`")

    try:
        yield ask
    finally:
        link.close()


@contextmanager
def _postgres(engine: sa.Engine) -> Iterator[Ask]:
    rank, around = ((SQL / f"ranks_{name}.sql").read_text(encoding="utf-8") for name in ("one", "around"))
    with engine.connect() as database:

        def ask(player: str, wide: bool) -> None:
            rows = database.exec_driver_sql(around if wide else rank, {"player": player, "window": WINDOW}).fetchall()
            database.rollback()
            if not rows:
                raise BenchError(f"Postgres has no row of {player}; the table was changed meanwhile")

        yield ask


def _runner(options: RanksOptions, make: Callable[[], Any]) -> Callable[[], Answered]:
    return lambda: paced(options, make)


def paced(options: RanksOptions, make: Callable[[], Any]) -> Answered:
    """Ask at the given rate from several connections, none of which waits for another.

    Args:
        options: how many and how fast.
        make: gives a context manager of an `Ask`, for one connection.
    """
    asked = int(options.rate * options.seconds)
    chance = random.Random(options.seed)  # noqa: S311
    players = [name_of(chance.randrange(options.players)) for _ in range(asked)]
    waits: list[float] = []
    failures: list[Exception] = []
    ready = threading.Barrier(THREADS)
    began: list[float] = []

    def run(mine: int) -> None:
        try:
            with make() as ask:
                ask(players[mine % asked], False)  # connected
                ready.wait(60)
                if not mine:
                    began.append(time.perf_counter() + 0.1)
                ready.wait(60)
                waits.extend(_asking(ask, began[0], range(mine, asked, THREADS), players, options))
        except Exception as error:  # noqa: BLE001 (raised in the caller's thread)
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise next((one for one in failures if not isinstance(one, threading.BrokenBarrierError)), failures[0])
    return Answered(Quantiles.of(waits), asked)


def _asking(
    ask: Ask, began: float, numbers: Sequence[int], players: Sequence[str], options: RanksOptions
) -> Iterator[float]:
    for number in numbers:
        due = began + number / options.rate
        if (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        elif time.perf_counter() - began > GIVE_UP * options.seconds:
            return
        ask(players[number], number % 2 == 1)
        yield (time.perf_counter() - due) * 1000


def _table(runs: dict[str, list[Answered]]) -> Table:
    rows: list[list[Any]] = []
    for name, found in runs.items():
        cells = [*spread_cells(spread([run.waits.p99 for run in found]))]
        medians = spread([run.waits.p50 for run in found]).median
        rows.append([name, medians, *cells, min(run.waits.count / run.asked for run in found)])
    return Table("Rank and rows around", ["what", "p50 ms", "p99 ms", "min", "max", "share answered"], rows)

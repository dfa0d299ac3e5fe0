"""The real jobs on generated events: at a drained cut both sinks, both recomputes and the reference model are the same.

The jobs read one topic for the whole session, so the model is given all that the topic holds, judged record by record;
each round adds a generated log of its own. What a window has dropped as late is older than the window that is shown.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.acceptance import outcomes
from gamestream_dagster.events.outcome import Reason, Refused
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.reconciliation.observe.sinks import newest_window, read_tables, read_topic, visible
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import Ask, board_rows
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.reconciliation.recompute.flink_recompute import FlinkBoards
from gamestream_dagster.settings import Settings
from tests.support import reference_model as model
from tests.support.fakes.streams import SCORE_TOPIC, SCORES
from tests.support.planting import parts_of
from tests.support.reference_model import Event
from tests.support.sql_cases import assert_rows

Row = dict[str, Any]
BOARDS = {name: board for name, board in load_boards().items() if board.ranked}
MODEL: dict[str, Callable[..., list[Row]]] = {
    "top_teams": model.top_teams,
    "top_players": model.top_players,
    "team_mvps": model.team_mvps,
    "hot_streaks": model.hot_streaks,
}
SPREAD_SECONDS = 20
LIMIT_SECONDS = 90


def log(seed: int, start: int, end: int, events: int) -> Iterator[tuple[str, bytes]]:
    """Key and value of each record, in order: event times from `start` to `end`, up to 3 s out of order.

    A tenth is sent again, within the horizon, at times under the key of another player; some are refused, some minutes
    late, some carry no id.
    """
    rng = random.Random(seed)
    sent: list[tuple[str, Row]] = []
    for number in range(events):
        if sent and rng.random() < 0.1:
            # near enough to be in time for its window, as its first record was
            key, value = rng.choice(sent[-20:])
            key = f"wrong-{rng.randrange(50)}" if rng.random() < 0.1 else key
        else:
            player = rng.randrange(40)
            at = start + (end - start) * number // events - rng.randrange(3_000)
            behind = rng.choice([90_000, 300_000]) if rng.random() < 0.03 else 0
            key = f"model-{seed}-{player}"
            value = {
                "user_id": key,
                "team_id": f"model-{seed}-t{player % 12}" if rng.random() < 0.95 else f"model-{seed}-other",
                "team_name": rng.choice(["Lions", "lions", "Ö", "\U0001f981", "\uff5e"]),
                "score": rng.choice([0, 1, 1, 2, 3, 5_000_000_000]) if rng.random() > 0.02 else -1,
                "event_time_millis": at - behind,
                "readable_time": "",
                "event_type": "normal",
            }
            value |= {"event_id": f"{seed}-{number}"} if rng.random() < 0.9 else {}
            if not behind:
                sent.append((key, value))
        yield key, orjson.dumps(value)


def topic_events(settings: Settings) -> tuple[list[Event], dict[int, int]]:
    """All that the topic holds, as the model's events, and its end."""
    end = dict(archive_topic(settings, SCORES).archived_upto)
    folder = settings.archive_dir / SCORE_TOPIC
    found: list[Event] = []
    for file in load_manifest(folder).files:
        table = pq.read_table(folder / file.path, columns=["partition", "offset", "kafka_timestamp", "value", "item"])
        for row in table.to_pylist():
            one = outcomes(row["value"], row["kafka_timestamp"])[row["item"]]
            if isinstance(one, Refused):
                if one.reason is Reason.OUT_OF_RANGE and (fields := one.fields):  # its time moves the watermark
                    time_of = fields["event_time_millis"]
                    arrived = row["kafka_timestamp"]
                    refused = Event(
                        row["partition"], row["offset"], "", "", "", 0, time_of, None, arrived, accepted=False
                    )
                    found.append(refused)
                continue
            found.append(
                Event(
                    partition=row["partition"],
                    offset=row["offset"],
                    user_id=one.user_id,
                    team_id=one.team_id,
                    team_name=one.team_name,
                    score=one.score,
                    event_time_millis=one.event_time_millis,
                    event_id=one.event_id,
                    kafka_time=row["kafka_timestamp"],
                )
            )
    return found, end


def lifted(seed: int, total: int, at: int) -> Iterator[tuple[str, bytes]]:
    """Records that put some of the generated players above this total: other files leave great ones behind."""
    for player in range(0, 40, 5):
        key = f"model-{seed}-{player}"
        for part in parts_of(total):
            value = {
                "user_id": key,
                "team_id": f"model-{seed}-t{player % 12}",
                "team_name": "Lions",
                "score": part,
                "event_time_millis": at,
            }
            yield key, orjson.dumps(value)


def send(settings: Settings, seed: int) -> None:
    """One generated log, spread over event times after all that the topic holds and before now."""
    held = topic_events(settings)[0]
    newest = max((min(one.event_time_millis, one.arrived) for one in held), default=0)
    greatest = max((row["total_score"] for row in model.top_players(model.counted(held))), default=0)
    deadline = time.monotonic() + 2 * SPREAD_SECONDS
    while (now := round(time.time() * 1000)) < newest + SPREAD_SECONDS * 1000:
        assert time.monotonic() < deadline, "the topic's newest event is of a time to come"
        time.sleep(0.2)
    producer = Producer(settings.kafka.options({**PRODUCER_SETTINGS}))
    start = max(newest + 4_000, now - 50_000)
    for key, value in chain(lifted(seed, greatest, start), log(seed, start, now, events=1_500)):
        producer.produce(SCORE_TOPIC, key=key.encode(), value=value)
    assert producer.flush(30) == 0


def streamed(settings: Settings, board: Board) -> Iterator[tuple[str, list[Row]]]:
    """The rows of both sinks, as readers see them."""
    with open_engine(settings) as engine:
        yield "postgres", visible(board, read_tables(engine, [board])[board.name])
    yield "kafka", visible(board, read_topic(settings.kafka, board))


def same(settings: Settings, events: list[Event]) -> dict[str, int | None]:
    """All boards of both sinks are the model's; by board the window that they show, milliseconds."""
    counted = model.counted(events)
    windows: dict[str, int | None] = {}
    for name, board in BOARDS.items():
        for sink, rows in streamed(settings, board):
            if board.window is None:
                windows[name] = None
                assert_rows(board, rows, MODEL[name](counted))
                continue
            as_of, newest = newest_window(board, rows)
            assert as_of is not None, f"{name} shows no window in {sink}"
            windows[name] = as_of
            assert_rows(board, newest, MODEL[name](counted, as_of))
    return windows


def shown_window(events: list[Event], board: Board, partitions: int) -> int:
    """The window that a windowed board shows once all is read, milliseconds."""
    assert board.window is not None
    newest: dict[int, int] = {}
    for event in events:
        at = max(0, min(event.event_time_millis, event.arrived))
        newest[event.partition] = max(newest.get(event.partition, 0), at)
    assert len(newest) == partitions, "a partition without events holds every window back"
    tick = board.window.tick_seconds * 1000
    return (min(newest.values()) - board.window.delay_seconds * 1000) // tick * tick


@pytest.mark.parametrize("seed", [1, 2])
def test_sinks_model_and_both_recomputes_are_the_same(boards: Any, tmp_path: Path, seed: int):
    settings: Settings = boards.settings
    send(settings, seed)
    boards.drain()
    events, end = topic_events(settings)
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            windows = same(settings, events)
            for name, as_of in windows.items():
                if as_of is not None:
                    assert as_of == shown_window(events, BOARDS[name], len(end)), f"{name} shows another window"
            break
        except AssertionError:  # rows that wait for the next checkpoint
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
    top = MODEL["top_players"](model.counted(events))
    assert any(row["user_id"].startswith(f"model-{seed}-") for row in top), "the generated players are on no board"
    asks = [Ask(board, as_of=windows[name]) for name, board in BOARDS.items()]
    topic = settings.archive_dir / SCORE_TOPIC
    with ArchiveDatabase(ArchiveSource(topic, late_ms=SCORES.lateness_ms), tmp_path) as archive:
        at = archive.at(end)
        for ask, rows in zip(asks, FlinkBoards(settings).together(archive, at, asks), strict=True):
            expected = MODEL[ask.board.name](
                model.before(model.counted(events), end), *([] if ask.as_of is None else [ask.as_of])
            )
            assert_rows(ask.board, rows, expected)
            assert_rows(ask.board, board_rows(archive, at, ask.board, as_of=ask.as_of), expected)

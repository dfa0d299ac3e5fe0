"""Rows past their retention: which keys are old, the table before the topic, and a run that was cut short goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.serving import forgetting
from gamestream_dagster.serving.forgetting import forget_old_rows, old_keys
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import board_table

BOARD = load_boards()["transaction_ids"]
DAY = 86_400_000
NOW = 100 * DAY
Record = tuple[bytes | None, bytes | None, int]


def key(name: str) -> bytes:
    return b'{"transaction_id":"' + name.encode() + b'"}'


class Topic:
    """The output's topic; also stands in for the clients that read and write it."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self.breaks = False

    def beginning_offsets(self, topic: str) -> dict[int, int]:
        return {0: 0}

    def end_offsets(self, topic: str, read_committed: bool = False) -> dict[int, int]:
        return {0: len(self.records)}

    def read(self, _kafka: object, _topic: str, _start: object, _upto: object) -> Iterator[Chunk]:
        for offset, (name, value, written) in enumerate(self.records):
            yield Chunk(0, Raw([offset], [written], [name], [value]), offset + 1)

    def __enter__(self) -> Topic:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, name: bytes, value: bytes | None) -> None:
        if self.breaks:
            raise ConnectionError
        self.records.append((name, value, NOW))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    metadata = sa.MetaData()
    board_table(BOARD, metadata)
    metadata.create_all(engine)

    @contextmanager
    def opened(_: Settings) -> Iterator[sa.Engine]:
        yield engine

    monkeypatch.setattr(forgetting, "open_engine", opened)
    return engine


def holding(monkeypatch: pytest.MonkeyPatch, *records: Record) -> Topic:
    topic = Topic(*records)
    monkeypatch.setattr(forgetting, "KafkaAdmin", lambda _: topic)
    monkeypatch.setattr(forgetting, "read_range", topic.read)
    monkeypatch.setattr(forgetting, "ScoreProducer", lambda *_: topic)
    return topic


def fill(engine: sa.Engine, names: Sequence[str]) -> None:
    with engine.begin() as database:
        for name in names:
            values = {"transaction_id": name, "user_id": "u", "transaction_type": "t", "amount": 1, "currency": "EUR"}
            database.execute(sa.insert(board_table(BOARD, sa.MetaData())).values(values))


def left(engine: sa.Engine) -> set[str]:
    with engine.connect() as database:
        return set(database.execute(sa.text("SELECT transaction_id FROM transaction_ids")).scalars())


OLD, YOUNG = NOW - 31 * DAY, NOW - 29 * DAY


def test_old_rows_go_from_table_and_topic_and_the_others_stay(monkeypatch: pytest.MonkeyPatch, rows: sa.Engine) -> None:
    topic = holding(
        monkeypatch,
        (key("old"), b"{}", OLD),
        (key("renewed"), b"{}", OLD),
        (key("gone"), b"{}", OLD),
        (key("gone"), None, OLD),
        (None, b"{}", OLD),
        (b"no json", b"{}", OLD),
        (b'{"other": 1}', b"{}", OLD),
        (key("young"), b"{}", YOUNG),
        (key("renewed"), b"{}", YOUNG),
    )
    fill(rows, ["old", "renewed", "young"])
    assert forget_old_rows(Settings(), BOARD, NOW) == 3
    assert left(rows) == {"renewed", "young"}
    assert [one for one in topic.records if one[2] == NOW] == [
        (key("old"), None, NOW),
        (b"no json", None, NOW),
        (b'{"other": 1}', None, NOW),
    ]
    assert forget_old_rows(Settings(), BOARD, NOW) == 0


def test_a_run_that_breaks_after_the_table_goes_on(monkeypatch: pytest.MonkeyPatch, rows: sa.Engine) -> None:
    topic = holding(monkeypatch, (key("a"), b"{}", OLD), (key("b"), b"{}", OLD))
    fill(rows, ["a", "b"])
    topic.breaks = True
    with pytest.raises(ConnectionError):
        forget_old_rows(Settings(), BOARD, NOW)
    assert left(rows) == set()
    topic.breaks = False
    assert forget_old_rows(Settings(), BOARD, NOW) == 2
    assert [value for _, value, _ in topic.records[2:]] == [None, None]


def test_one_run_forgets_a_bounded_number_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    holding(monkeypatch, *((key(str(number)), b"{}", OLD + number) for number in range(5)))
    assert old_keys(Settings().kafka, "t", NOW, most=2) == [key("0"), key("1")]


def test_an_output_without_retention_keeps_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    holding(monkeypatch, (key("a"), b"{}", OLD))
    assert forget_old_rows(Settings(), BOARD.model_copy(update={"retention": None}), NOW) == 0


def test_a_board_has_no_retention() -> None:
    ranked = load_boards()["top_teams"]
    described = ranked.model_dump(exclude_unset=True) | {"retention": "30d"}
    with pytest.raises(ValidationError, match="without ranks"):
        Board.model_validate(described)

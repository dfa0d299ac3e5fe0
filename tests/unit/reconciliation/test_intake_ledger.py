"""The ledger of intake: each stage counts for itself, and where two disagree the minute and the offsets are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.fates.http_ledger import Counts, KeyMinute
from gamestream_dagster.fates.outputs import Fate
from gamestream_dagster.reconciliation.intake import http_stage
from gamestream_dagster.reconciliation.intake.http_stage import Bearing, HttpStage, read_http_stage
from gamestream_dagster.reconciliation.intake.ledger import ledger_data
from gamestream_dagster.settings import Settings
from tests.support.intake_model import MINUTE, NOW, Intake, event, judged, score, some_of_everything

AT = NOW // MINUTE * MINUTE
SHOWN = "2023-11-14T22:13Z"
ACCEPTED = "key k1: 3 events accepted over HTTP"
BEAR = "records of game-events-raw bear its header"


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return some_of_everything(tmp_path)


def test_every_stage_of_every_minute_adds_up(intake: Intake) -> None:
    intake.take(event("next"), NOW + MINUTE)
    found = judged(intake).ledger
    assert found.balanced
    first, second = found.minutes
    assert (first.raw, first.enriched, first.late, first.dead, first.copies, first.scores) == (18, 6, 2, 8, 2, 2)
    assert (first.job, second.job, second.raw, second.enriched) == (18, 1, 1, 1)
    assert [one.minute for one in judged(intake, since=AT + MINUTE).ledger.minutes] == [AT + MINUTE]


def test_a_lost_a_doubled_and_a_misplaced_record_are_named_with_minute_and_offsets(intake: Intake) -> None:
    intake.take(event("next"), NOW + MINUTE)
    intake.unwrite(Fate.DEAD, (0, 4))
    intake.unwrite(Fate.DEAD, (0, 5))
    assert judged(intake).ledger.faults == [
        f"{SHOWN}: 18 raw records = 6 enriched + 2 late + 6 dead letters + 2 copies + 0 open does not hold",
        f"{SHOWN}: 2 MISSING at p0@4..5",
    ]


def test_a_score_that_did_not_arrive_is_named(intake: Intake) -> None:
    intake.take(score("s9"), NOW + MINUTE)
    del intake.scores[-1]
    assert judged(intake).ledger.faults == ["2023-11-14T22:14Z: 1 SCORE_MISSING in user-score at p0@9"]


def test_intakes_own_count_is_compared_where_it_must_be_complete(intake: Intake) -> None:
    found = judged(intake, counted={0: 9, 1: 7}).ledger
    assert found.faults == [f"{SHOWN}: event_intake_v1 counted 16 records, the archive holds 18"]
    assert judged(intake, counted={0: 9, 1: 7}, low={0: 9, 1: 7}).ledger.balanced


def bearing(records: int) -> Bearing:
    made = Bearing()
    for offset in range(records):
        made.add(0, offset)
    return made


@pytest.mark.parametrize(
    ("counts", "records", "since", "told"),
    [
        (Counts(6, 3, 1, 1, 1), 3, 0, []),
        (Counts(3, 3), 5, 0, []),  # any producer can send the header, and an answer can be lost
        (Counts(3, 3), 2, AT + MINUTE, []),  # the topic no longer holds the minute
        (Counts(3, 3), 2, 0, [f"{ACCEPTED}, 2 {BEAR} (p0@0..1)"]),
        (Counts(3, 3), 0, 0, [f"{ACCEPTED}, 0 {BEAR} (nowhere)"]),
        (Counts(7, 3, 1, 1, 1), 3, 0, ["key k1: 7 events received, 6 of them have a verdict"]),
    ],
)  # fmt: skip
def test_the_http_stage(counts: Counts, records: int, since: int, told: list[str]) -> None:
    held = {(AT, "k1"): bearing(records)} if records else {}
    assert [sentence for _, sentence in HttpStage({(AT, "k1"): counts}, held, since).faults()] == told


def test_http_counts_stand_beside_the_raw_records_of_their_minute(intake: Intake) -> None:
    http = HttpStage({(AT, "k1"): Counts(4, 3, 1), (AT, "k2"): Counts(1, 1)}, {(AT, "k1"): bearing(3)}, 0)
    found = judged(intake, http=http).ledger
    [minute] = ledger_data(found)["minutes"]
    assert minute["http"] == {"received": 5, "accepted": 4, "duplicate": 1, "refused": 0, "retry": 0}
    assert (minute["raw_with_header"], minute["raw"]) == (3, 18)
    assert not found.balanced, "k2 has no record"


HEADERS: Mapping[str, bytes | None] = {
    "gamestream-key-id": b"k1",
    "gamestream-received-ms": str(NOW).encode(),
}


@pytest.mark.parametrize(("begin", "since"), [(0, AT), (3, AT + 2 * MINUTE)])
def test_headers_are_counted_by_key_and_minute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, begin: int, since: int
) -> None:
    counted = KeyMinute(AT, "k1", Counts(1, 1))
    monkeypatch.setattr(http_stage, "fold", lambda *_: 0)
    monkeypatch.setattr(http_stage, "counted", lambda *_: iter([counted]))
    forged: list[Mapping[str, bytes | None]] = [
        {},
        {**HEADERS, "gamestream-key-id": None},
        {**HEADERS, "gamestream-key-id": b"k" * 65},
        {**HEADERS, "gamestream-received-ms": b"soon"},
        {**HEADERS, "gamestream-received-ms": b"9" * 16},
    ]

    def read(_kafka: object, topic: str, start: Mapping[int, int], _upto: object, **asked: Any) -> Iterator[Chunk]:
        assert (topic, asked["with_headers"]) == (RAW_TOPIC, True)
        headers = [HEADERS, *forged, HEADERS]
        offsets = [start[0] + place for place in range(len(headers))]
        yield Chunk(0, Raw(offsets, [NOW] * 7, [None] * 7, [None] * 7, headers), offsets[-1] + 1)

    admin: Any = SimpleNamespace(
        beginning_offsets=lambda _: {0: begin},
        end_offsets=lambda _, read_committed: {0: 20},
        offsets_at=lambda *_: {0: 3},
    )
    stage = read_http_stage(Settings(home=tmp_path), None, admin, AT, read)
    assert stage.since == since
    assert {key: (one.records, one.where) for key, one in stage.bearing.items()} == {(AT, "k1"): (2, "p0@3..9")}
    assert list(stage.faults()) == []

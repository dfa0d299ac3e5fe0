"""Labelled abuse: the recompute finds each case that it should, and nothing among honest players and near misses."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date
from pathlib import Path

import orjson
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.events.abuse_play import WINDOW_MS, AbuseEvent, AbuseOptions
from gamestream_dagster.events.abuse_simulation import planted
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.events.lives.lines import EventLines
from gamestream_dagster.events.lives.options import LivesOptions
from gamestream_dagster.events.lives.play import Lives
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.factory import archive_of
from tests.support.abuse import OUTPUTS, Rows, score
from tests.support.archive_maker import archive_records

EVENING = 1_767_294_000_000  # 2026-01-01 19:00 UTC
OPTIONS = AbuseOptions(start_ms=EVENING, players=6_000)
ENRICHED = load_sources()["game-events-enriched"]


def taken(events: list[AbuseEvent], partitions: int = 3) -> dict[tuple[int, int], tuple[bytes, int]]:
    """What intake makes of events: in the normal form, each once, by partition and offset."""
    judge, seen = GameEventJudge(), set[str]()
    found: dict[tuple[int, int], tuple[bytes, int]] = {}
    offsets = Counter[int]()
    for event in events:
        outcome = judge.judge(event.value, event.at_ms)
        assert isinstance(outcome, GameEvent), outcome
        assert not outcome.late
        if outcome.event_id in seen:
            continue
        seen.add(outcome.event_id)
        record = {name: getattr(outcome, name) for name in outcome._fields if name not in ("late", "remark")}
        partition = hash(outcome.user_id) % partitions
        found[partition, offsets[partition]] = orjson.dumps(record), event.at_ms
        offsets[partition] += 1
    return found


def rows_of(folder: Path, events: list[AbuseEvent]) -> Rows:
    records = taken(events)
    archived = archive_records(folder / ENRICHED.topic, records, ENRICHED)
    cut = {partition: 1 + max(at for one, at in records if one == partition) for partition, _ in records}
    with ArchiveDatabase(archive_of(archived, ENRICHED), folder) as archive:
        return {name: board_rows(archive, archive.at(cut), load_boards()[name]) for name in OUTPUTS}


def test_precision_and_recall_are_1_on_labelled_cases(tmp_path: Path) -> None:
    play = planted(OPTIONS)
    assert {case.output for case in play.cases if case.fires} == set(OUTPUTS)
    assert {case.output for case in play.cases if not case.fires} == set(OUTPUTS)
    honest = {event.user_id for event in play.events if not event.user_id.startswith("abuse-")}
    assert len(honest) >= 10, "the lives around the cases"
    found = score(play.cases, rows_of(tmp_path, play.events))
    assert (found.precision, found.recall) == (1, 1), (found.false, found.missed)
    assert found.right == sum(case.fires for case in play.cases)


def test_days_of_honest_lives_make_no_row(tmp_path: Path) -> None:
    options = LivesOptions(start=date(2026, 1, 1), days=3, players=1_000)
    lives = Lives(options)
    lines, names = EventLines(options, lives.people), lives.people.ids(options)
    events = [
        AbuseEvent(at, names[player], line.encode())
        for _, played in lives.days()
        for at, player, line in lines.timed(played)
    ]
    kinds = Counter(orjson.loads(event.value)["event_type"] for event in events)
    assert min(kinds["item_purchase"], kinds["player_join"]) > 10
    assert {name: len(rows) for name, rows in rows_of(tmp_path, events).items()} == dict.fromkeys(OUTPUTS, 0)


def test_the_order_of_the_events_changes_no_row(tmp_path: Path) -> None:
    events = planted(OPTIONS.model_copy(update={"repeats": 1, "players": 50})).events
    first = rows_of(tmp_path / "a", events)
    shuffled = random.Random(3).sample(events, len(events))
    told = [AbuseEvent(new.at_ms, new.user_id, new.value) for new in shuffled]
    again = rows_of(tmp_path / "b", told)
    assert [len(rows) for rows in first.values()] == [len(rows) for rows in again.values()]
    for name, rows in first.items():
        assert sorted(map(str, rows)) == sorted(map(str, again[name])), name


@pytest.mark.parametrize("minute", range(11))
def test_cases_are_in_one_window_that_takes_them_now(minute: int) -> None:
    now = EVENING + minute * 60_000
    base = AbuseOptions(start_ms=now).base_ms
    assert base % WINDOW_MS == 0
    assert abs(base - now) <= WINDOW_MS // 2


def test_the_same_options_give_the_same_events_and_runs_share_no_id() -> None:
    small = OPTIONS.model_copy(update={"players": 20, "repeats": 1})
    first, again = planted(small), planted(small)
    assert first == again
    ids = {orjson.loads(event.value)["event_id"] for event in first.events}
    later = planted(small.model_copy(update={"start_ms": EVENING + WINDOW_MS}))
    assert not ids & {orjson.loads(event.value)["event_id"] for event in later.events}

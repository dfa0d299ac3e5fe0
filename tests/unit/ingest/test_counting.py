"""The API counts its answers before it sends them, in a journal that a kill leaves whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.fates.http_ledger import Counts, Journal, summed
from gamestream_dagster.ingest.counting import Counting
from tests.support.fakes.ingest import Api, NotedCounts, event

MINUTE = 1_700_000_040_000


def test_each_answer_is_counted_by_key_and_verdict(api: Api) -> None:
    api.post([event(1), {"event_id": "bad", "reason": "OUT_OF_RANGE"}, event(1)])
    api.post([event(1)])
    api.kafka.fail = {1}
    api.post([event(2), event(3)])
    counts = [one for _, _, one in api.journal.lines]
    assert counts == [Counts(3, 1, 1, 1, 0), Counts(1, 0, 1, 0, 0), Counts(2, 1, 0, 0, 1)]
    assert {key for _, key, _ in api.journal.lines} == {api.key.key_id}
    assert all(one.balanced for one in counts)


def test_what_stores_nothing_and_answers_no_event_is_not_counted(api: Api) -> None:
    api.post([event(1)], path="/v1/events?dry_run=true")
    api.post(b"no json")
    api.post([])
    assert api.journal.lines == []


def test_a_batch_of_which_nothing_was_confirmed_is_counted_as_retry(api: Api) -> None:
    api.kafka.fail = {0}
    assert api.post([event(1)]).status_code == 503
    assert [one for _, _, one in api.journal.lines] == [Counts(1, 0, 0, 0, 1)]


def test_the_lines_of_a_journal_add_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note(MINUTE + 59_999, "k1", Counts(3, 1, 1, 1, 0))
    journal.note(MINUTE, "k1", Counts(2, 1, 0, 0, 1))
    journal.note(MINUTE + 60_000, "k2", Counts(1, 1))
    journal.close()
    found, answers = summed(journal.path.read_bytes() + b"torn 12\n\xff\n")
    assert answers == 3
    assert found == {
        (MINUTE, "k1"): Counts(5, 2, 1, 1, 1),
        (MINUTE + 60_000, "k2"): Counts(1, 1, 0, 0, 0),
    }
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path, most_bytes=20)
    for number in range(3):
        journal.note(MINUTE, f"k{number}", Counts(1, 1))
    journal.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert files[-1] == journal.path
    found, answers = summed(b"".join(path.read_bytes() for path in files))
    assert (answers, len(found)) == (3, 3)


def test_a_full_disk_costs_the_count_and_not_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    journal.note(MINUTE, "k1", Counts(1, 1))
    assert journal.failed == 1
    assert "could not be counted" in caplog.text


def test_while_postgres_is_away_the_journal_keeps_the_counts(caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    def fold() -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise GamestreamError("Postgres is away.")
        return 1

    counting = Counting(NotedCounts(), fold)
    for _ in range(4):
        counting.fold()
    assert caplog.text.count("stay in the journal") == 1, "told once, not at every try"

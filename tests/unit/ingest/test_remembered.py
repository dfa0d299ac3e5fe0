"""The memory of delivered events is bounded in number and time."""

from __future__ import annotations

from gamestream_dagster.ingest.remembered import HORIZON_SECONDS, Receipt, Remembered, identity

DIGEST = b"12345678"


def test_the_oldest_go_first() -> None:
    kept = Remembered(3, lambda: 0.0)
    events = [identity("a", "u", str(n)) for n in range(5)]
    for number, event in enumerate(events):
        kept.add(event, Receipt(number, 2**40 + number), DIGEST)
    assert [kept.find(event) is not None for event in events] == [False, False, True, True, True]
    assert kept.find(events[4]) == (Receipt(4, 2**40 + 4), DIGEST)


def test_those_past_the_horizon_go_with_the_next() -> None:
    now = 0.0
    kept = Remembered(1000, lambda: now)
    for number in range(10):
        kept.add(identity("a", "u", str(number)), Receipt(0, number), DIGEST)
    now = HORIZON_SECONDS + 1
    kept.add(identity("a", "u", "new"), Receipt(0, 10), DIGEST)
    assert len(kept) == 1


def test_nothing_is_kept_where_nothing_is_wanted() -> None:
    kept = Remembered(0)
    kept.add(identity("a", "u", "e"), Receipt(0, 0), DIGEST)
    assert len(kept) == 0


def test_forgetting_the_oldest_takes_the_same_time_at_any_size() -> None:
    kept = Remembered(1000, lambda: 0.0)
    for number in range(30_000):  # quadratic where the first is searched past those that were deleted
        kept.add(number.to_bytes(16, "little"), Receipt(0, number), DIGEST)
    assert len(kept) == 1000

"""Raw records to archive rows: the fast path and the exact rule are one."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gamestream_dagster.archive.decode import decode, decoding, newest_event_time
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.events.acceptance import Decoded, outcomes
from gamestream_dagster.events.rule import whole_number
from tests.support.acceptance_cases import load_arrays, load_cases
from tests.support.fakes.streams import SCORES

CASES = load_cases()
NOW = 1_700_000_000_000
MADE = decoding(SCORES)


def rows_of(*values: tuple[bytes | None, int]) -> list[dict]:
    raw = Raw(
        offsets=[10 + place for place in range(len(values))],
        timestamps=[timestamp for _, timestamp in values],
        keys=[b"k"] * len(values),
        values=[value for value, _ in values],
    )
    table = decode(MADE, 2, raw)
    assert table.schema == MADE.schema
    return table.to_pylist()


def agrees(row: dict, outcome) -> bool:
    if isinstance(outcome, Decoded):
        remark = outcome.remark.value if outcome.remark else None
        fields = ("user_id", "team_id", "team_name", "score", "event_time_millis", "event_type", "event_id")
        same = all(row[name] == getattr(outcome, name) for name in fields)
        return same and row["reason"] is None and row["remark"] == remark
    read = outcome.fields or {}
    same = all(row[name] == read.get(name) for name in ("user_id", "team_id", "team_name", "event_time_millis"))
    return same and row["reason"] == outcome.reason.value and row["score"] == whole_number(read.get("score"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_of_the_shared_table(case):
    [row] = rows_of((case.value, case.kafka_timestamp))
    assert row["reason"] == (case.reason or None)
    [outcome] = outcomes(case.value, case.kafka_timestamp)
    assert agrees(row, outcome)
    assert row["value"] == case.value


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["", "\0", "7", "1e3", "x" * 201, "u1", 0, 1, 10**12, 10**12 + 1, NOW, NOW + 3_600_001]),
    st.lists(st.integers(), max_size=2),
)
objects = st.dictionaries(
    st.sampled_from(["user_id", "team_id", "team_name", "score", "event_time_millis", "event_type", "event_id", "x"]),
    scalars,
)
plain = st.fixed_dictionaries(
    {
        "user_id": st.text(max_size=3),
        "team_id": st.text(min_size=1, max_size=3),
        "team_name": st.text(max_size=3),
        "score": st.one_of(st.integers(-1, 10**12 + 1), scalars),
        "event_time_millis": st.one_of(st.integers(NOW - 5, NOW + 3_600_002), scalars),
    },
    optional={"event_type": scalars, "event_id": scalars, "readable_time": scalars, "extra": scalars},
)


@settings(deadline=None)
@given(st.one_of(objects, plain))
def test_the_fast_path_says_what_the_exact_rule_says(fields):
    value = orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS, default=str) if _fits(fields) else b"{}"
    rows = rows_of((value, NOW))
    for row, outcome in zip(rows, outcomes(value, NOW), strict=True):
        assert agrees(row, outcome), (value, row, outcome)


def _fits(fields: dict) -> bool:
    try:
        orjson.dumps(fields)
    except (TypeError, orjson.JSONEncodeError):
        return False
    return True


@settings(deadline=None)
@given(st.one_of(st.none(), st.binary(max_size=30)))
def test_any_bytes_become_a_row(value):
    for row, outcome in zip(rows_of((value, NOW)), outcomes(value, NOW), strict=True):
        assert agrees(row, outcome)


def test_an_array_is_one_record_and_several_rows():
    case = next(case for case in load_arrays() if len(outcomes(case.value, case.kafka_timestamp)) > 1)
    found = rows_of((b"nope", NOW), (case.value, case.kafka_timestamp), (b"", NOW))
    count = len(found) - 2
    assert count > 1
    assert [row["offset"] for row in found] == [10, *[11] * count, 12]
    assert [row["item"] for row in found] == [0, *range(count), 0]


def scored(time: int, score: object = 1) -> bytes:
    fields = {"user_id": "u", "team_id": "t", "team_name": "T", "score": score, "event_time_millis": time}
    return orjson.dumps(fields)


def test_a_refused_record_keeps_what_can_be_read_of_it():
    [negative, fraction, word] = rows_of((scored(NOW, -7), NOW), (scored(NOW, 1.5), NOW), (b"nope", NOW))
    assert (negative["user_id"], negative["team_id"], negative["score"]) == ("u", "t", -7)
    assert (fraction["user_id"], fraction["score"], fraction["event_time_millis"]) == ("u", None, NOW)
    assert (word["user_id"], word["event_time_millis"], word["reason"]) == (None, None, "NOT_JSON")


def test_each_row_knows_how_far_the_watermark_had_come():
    """Never ahead of the Kafka time; a refused record moves it too, but not by a time that is itself refused."""
    values = [
        (scored(NOW), NOW + 9),
        (scored(NOW + 500), NOW + 9),
        (scored(NOW + 20, -1), NOW + 20),
        (scored(NOW + 4_000_000), NOW + 30),
        (b"nope", NOW + 40),
        (scored(NOW - 60_000), NOW + 50),
        (scored(NOW + 60), NOW + 60),
    ]
    newest = [row["newest_before"] for row in rows_of(*values)]
    assert newest == [None, NOW, NOW + 9, NOW + 20, NOW + 20, NOW + 20, NOW + 20]


@given(st.lists(st.integers(-5, 50), max_size=12), st.integers(0, 12))
def test_the_newest_time_goes_on_from_chunk_to_chunk(times, split):
    def table(some: list[int], first: int, before: int | None):
        raw = Raw(
            [first + n for n in range(len(some))], [30] * len(some), [None] * len(some), [scored(t) for t in some]
        )
        return decode(MADE, 0, raw, newest_before=before)

    head = table(times[:split], 0, None)
    tail = table(times[split:], split, newest_event_time(head, SCORES.max_ahead_ms))
    chunked = [*head.column("newest_before").to_pylist(), *tail.column("newest_before").to_pylist()]
    assert chunked == table(times, 0, None).column("newest_before").to_pylist()
    usable = [min(time, 30) for time in times if time >= 0]
    assert newest_event_time(tail, SCORES.max_ahead_ms, newest_event_time(head, SCORES.max_ahead_ms)) == max(
        usable, default=None
    )

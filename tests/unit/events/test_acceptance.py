"""The acceptance rule against the shared table, and laws that hold for any input."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.catalogue.event_type import score_event
from gamestream_dagster.events import acceptance, flink_json, rule
from gamestream_dagster.events.acceptance import Decoded, judge, outcomes
from gamestream_dagster.events.outcome import Reason, Refused, reason_texts
from tests.support.acceptance_cases import load_arrays, load_cases

CASES = load_cases()
NOW = 1_700_000_000_000

# The machine that runs the tests may be busy: how long one example takes says nothing.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    outcome = judge(case.value, case.kafka_timestamp)
    if case.reason:
        assert isinstance(outcome, Refused), outcome
        assert outcome.reason == case.reason
        assert outcome.detail
    else:
        assert isinstance(outcome, Decoded), outcome
        found = outcome._asdict()
        assert {name: found[name] for name in case.fields} == case.fields
        assert outcome.remark == case.remark
    unpacked = outcomes(case.value, case.kafka_timestamp)
    assert [type(row) for row in unpacked] == [type(outcome)]
    assert unpacked[0][0] == outcome[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_exact_reader_agrees_with_the_fast_one(case, monkeypatch):
    quick = judge(case.value, case.kafka_timestamp)
    monkeypatch.setattr(rule, "FAST_BYTES", -1)
    assert judge(case.value, case.kafka_timestamp) == quick


@pytest.mark.parametrize("case", load_arrays(), ids=lambda case: case.name)
def test_array(case):
    found = [
        str(row.reason) if isinstance(row, Refused) else {name: row._asdict()[name] for name in expected}
        for row, expected in zip(outcomes(case.value, case.kafka_timestamp), case.rows, strict=True)
    ]
    assert found == list(case.rows)
    assert isinstance(judge(case.value, case.kafka_timestamp), Refused)


def test_the_table_covers_every_reason():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.reason for case in CASES if case.reason} == set(Reason) - {Reason.NOT_AVRO, Reason.UNKNOWN_EVENT_TYPE}
    assert set(reason_texts(score_event())) == set(Reason) - {Reason.UNKNOWN_EVENT_TYPE}


@untimed
@given(st.binary(max_size=300))
def test_any_bytes_have_an_outcome(value: bytes):
    assert isinstance(judge(value, NOW), Decoded | Refused)
    assert outcomes(value, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries({}, optional=dict.fromkeys(acceptance.FIELD_NAMES, json_values))


@untimed
@given(fields, st.sampled_from([",", ", "]), st.booleans())
def test_fast_and_exact_readers_agree_on_any_object(found: dict, comma: str, ascii_only: bool):
    value = json.dumps(found, separators=(comma, ":"), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    quick = acceptance._read_fast(acceptance.SCORE_RULE, value) if len(value) <= rule.FAST_BYTES else None
    document = flink_json.parse(value)
    assert isinstance(document, dict)
    exact = acceptance._read_exact(acceptance.SCORE_RULE, document)
    if quick is not None:
        assert {name: quick.get(name) for name in acceptance.FIELD_NAMES} == {
            name: exact[name] for name in acceptance.FIELD_NAMES
        }


@untimed
@given(json_values)
def test_the_exact_parser_reads_what_json_reads(found: object):
    text = json.dumps(found)
    parsed = flink_json.parse(text.encode("utf-8"))
    assert json.loads(text, parse_int=flink_json.Number, parse_float=flink_json.Number) == parsed


@untimed
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_text_reads_back_to_the_same_double(number: float):
    text = flink_json.as_text(flink_json.Number(repr(number)))  # repr of a float always has a point or an exponent
    assert text is not None
    assert float(text) == number
    assert "." in text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1e23", "1.0E23"),
        ("2e-323", "2.0E-323"),
        ("4.9e-324", "4.9E-324"),
        ("1e7", "1.0E7"),
        ("9999999.5", "9999999.5"),
        ("0.001", "0.001"),
        ("0.00099", "9.9E-4"),
        ("-0.0", "-0.0"),
        ("1e400", "Infinity"),
        ("123456789.125", "1.23456789125E8"),
    ],
)
def test_a_double_has_javas_text(number: str, text: str):
    assert flink_json.as_text(flink_json.Number(number)) == text


@untimed
@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=0, max_value=NOW + 3_600_000))
def test_any_score_and_time_in_range_is_accepted(score: int, time: int):
    value = json.dumps(
        {"user_id": "u", "team_id": "t", "team_name": "n", "score": score, "event_time_millis": time}
    ).encode()
    outcome = judge(value, NOW)
    assert isinstance(outcome, Decoded)
    assert (outcome.score, outcome.event_time_millis) == (score, time)

"""Simulated transactions: the same bytes for the same options, true to their shares, and judged as they say."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from pydantic import ValidationError

from gamestream_dagster.archive.decode import decode, decoding
from gamestream_dagster.catalogue.event_type import load_event_types
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.events.flink_rule import accepted_condition, time_condition
from gamestream_dagster.events.transactions import EVENT_TYPE, Kind, TransactionOptions, transactions
from tests.unit.events.test_one_rule import sql

START = 1_700_000_000_000
MIXED = {"dup": 10, "conflict": 1, "bad": 5, "keyless": 20, "wrong_key": 20}
KEYED = load_sources()["transactions-keyed"]


def options(**given: float) -> TransactionOptions:
    return TransactionOptions.model_validate({"start_ms": START, "events": 4000, **MIXED, **given})


def test_the_same_options_give_the_same_records() -> None:
    assert list(transactions(options(seed=7))) == list(transactions(options(seed=7)))
    assert list(transactions(options(seed=7))) != list(transactions(options(seed=8)))


def test_shares_are_those_asked_for() -> None:
    sent = list(transactions(options()))
    kinds = Counter(record.kind for record in sent)
    assert kinds[Kind.DUP] == pytest.approx(400, abs=80)
    assert kinds[Kind.CONFLICT] == pytest.approx(40, abs=25)
    assert kinds[Kind.BAD] == pytest.approx(200, abs=60)
    keys = Counter(
        "none" if one.key is None else "own" if one.key.decode() == one.transaction["transaction_id"] else "wrong"
        for one in sent
    )
    assert keys["none"] == pytest.approx(800, abs=120)
    assert keys["wrong"] == pytest.approx(800, abs=120)


def test_each_record_is_what_its_kind_says() -> None:
    first: dict[object, bytes] = {}
    for record in transactions(options()):
        name = record.transaction["transaction_id"]
        match record.kind:
            case Kind.NORMAL:
                assert name not in first
                first[name] = record.value
            case Kind.DUP:
                assert record.value == first[name]
            case Kind.CONFLICT:
                assert orjson.loads(record.value)["amount"] != orjson.loads(first[name])["amount"]
            case Kind.BAD:
                assert record.value not in first.values()


def test_the_archive_judges_them_as_they_say() -> None:
    sent = list(transactions(options()))
    at = [START + int(record.due_ms) for record in sent]
    raw = Raw(list(range(len(sent))), at, [record.key for record in sent], [record.value for record in sent])
    rows = decode(decoding(KEYED), 0, raw).to_pylist()
    assert [row["reason"] is None for row in rows] == [record.kind is not Kind.BAD for record in sent]
    accepted = next(row for row in rows if row["reason"] is None)
    wanted = sent[accepted["offset"]].transaction
    assert (accepted["event_id"], accepted["amount"], accepted["currency"]) == (
        wanted["transaction_id"], wanted["amount"], wanted["currency"],
    )  # fmt: skip
    assert {row["reason"] for row in rows} == {None, "NOT_JSON", "MISSING_FIELD", "WRONG_TYPE", "OUT_OF_RANGE"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"dup": 60, "conflict": 50}, "over 100 per cent"),
        ({"keyless": 60, "wrong_key": 50}, "over 100"),
        ({"rate": 0}, "rate"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given: dict[str, float], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        options(**given)


def test_the_job_accepts_what_the_declaration_accepts() -> None:
    event, text = load_event_types()[EVENT_TYPE], sql("checked_transactions.sql")
    assert f"CASE WHEN {accepted_condition(event)} THEN TRY_CAST(amount AS BIGINT) END AS points" in text
    assert f"event_time AS CASE WHEN {time_condition(event)} THEN" in sql("transactions_keyed.sql")


def test_both_topics_of_transactions_have_one_rule() -> None:
    raw = load_sources()["transactions-raw"]
    assert (raw.event_types, raw.dedup, raw.content_columns) == (KEYED.event_types, KEYED.dedup, KEYED.content_columns)
    assert KEYED.content_columns == ("user_id", "transaction_type", "amount", "currency")
    assert KEYED.aliases == {"points": "amount", "transaction_id": "event_id"}

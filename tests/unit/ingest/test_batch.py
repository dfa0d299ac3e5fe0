"""Splitting a body into the exact bytes of its events, for any JSON."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gamestream_dagster.http_server.errors import RequestRefusedError
from gamestream_dagster.ingest.batch import split, with_member, without_member

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
SPACE = st.text(" \t\r\n", max_size=3)


@settings(max_examples=60)
@given(st.lists(st.tuples(ANY_JSON, st.booleans(), SPACE), max_size=6), SPACE)
def test_the_slices_are_the_elements_byte_by_byte(elements: list[Any], space: str) -> None:
    written = [json.dumps(value, ensure_ascii=escaped) for value, escaped, _ in elements]
    parts = [before + text + before for text, (_, _, before) in zip(written, elements, strict=True)]
    body = f'{space}{{{space}"events"{space}:{space}[{space}{",".join(parts)}{space}]{space}}}{space}'
    found = split(body.encode("utf-8", "surrogatepass"))
    assert [one.value for one in found] == [text.encode("utf-8", "surrogatepass") for text in written]
    for one, (value, _, _) in zip(found, elements, strict=True):
        assert one.members.keys() == (value.keys() if isinstance(value, dict) else set())


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_refused(body: bytes) -> None:
    with suppress(RequestRefusedError):
        assert split(body) is not None


@settings(max_examples=60)
@given(st.binary(max_size=60), st.integers(0, 40), st.integers(0, 40))
def test_any_damage_to_a_batch_is_a_batch_or_refused(noise: bytes, start: int, length: int) -> None:
    body = b'{"events":[{"event_id":"a","user_id":"b"},{"event_id":"c"}]}'
    damaged = body[:start] + noise + body[start + length :]
    with suppress(RequestRefusedError):
        assert all(one.value in damaged for one in split(damaged))


@settings(max_examples=60)
@given(st.dictionaries(TEXTS, ANY_JSON, max_size=6), SPACE)
def test_a_member_goes_and_the_others_keep_their_bytes(members: dict[str, Any], space: str) -> None:
    parts = [f"{json.dumps(name)}{space}:{space}{json.dumps(value)}" for name, value in members.items()]
    value = "{" + f"{space},{space}".join([*parts, '"gone": [1]']) + space + "}"
    assert (
        without_member(value.encode(), "gone").decode()
        == "{" + ",".join(part for name, part in zip(members, parts, strict=True) if name != "gone") + "}"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"{}", b'{"c":"GB"}'), (b'{ "a" : 1 }', b'{ "a" : 1,"c":"GB"}'), (b'{"a":1}\n', b'{"a":1,"c":"GB"}')],
)
def test_a_member_is_added_at_the_end(value: bytes, expected: bytes) -> None:
    assert with_member(value, "c", "GB") == expected

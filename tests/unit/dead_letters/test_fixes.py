"""Files of fixes: what is wrong with one, and what each step does to a record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.dead_letters.errors import FixFileError, NoValueError
from gamestream_dagster.dead_letters.fixes import read_fixes
from gamestream_dagster.dead_letters.letter import DeadLetter, Position
from gamestream_dagster.dead_letters.records import Record
from gamestream_dagster.events.strict_json import StrictJsonReader

CATALOGUE = load_game_events()


def letter(**changes: Any) -> DeadLetter:
    known: dict[str, Any] = {
        "place": Position(0, 3), "reason": "WRONG_TYPE", "sentence": "", "field": "properties.score",
        "event_id": "e1", "user_id": "u1", "event_type": "score", "payload": b"{}",
        "source_topic": "game-events-raw", "source": Position(2, 17), "source_time": 1000,
    }  # fmt: skip
    return DeadLetter(**(known | changes))


def fixed(document: Any, *steps: str, when: str = "{}") -> dict[str, Any]:
    """The document after steps in YAML; given and returned as the strict reader has it."""
    text = f"fixes:\n  - when: {when}\n    do:\n" + "".join(f"      - {step}\n" for step in steps)
    read: Any = StrictJsonReader(CATALOGUE.limits).read(orjson.dumps(document))
    record = Record(CATALOGUE, read, letter())
    read_fixes(text, "fixes.yaml").applied(record, letter())
    return record.document


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("set: {field: user_id, to: u2}", {"user_id": 1}, {"user_id": "u2"}),
        ("set: {field: properties.a.b, to: 1}", {"properties": {}}, {"properties": {"a": {"b": 1}}}),
        ("set: {field: a, to: 4.99}", {}, {"a": Decimal("4.99")}),
        ("set: {field: a, to: null}", {"a": 1}, {"a": None}),
        ("set: {field: a, to: [1, {b: 2.5}]}", {}, {"a": [1, {"b": Decimal("2.5")}]}),
        ('set: {field: t, expression: \'concat(t, "Z")\'}', {"t": "12:00:00"}, {"t": "12:00:00Z"}),
        ("set: {field: a, expression: source.offset * 10 + source.partition}", {}, {"a": 172}),
        ("rename: {from: properties.a, to: properties.b}", {"properties": {"a": 7}}, {"properties": {"b": 7}}),
        ("rename: {from: none, to: a}", {"b": 1}, {"b": 1}),
        ("drop: properties.debug", {"properties": {"debug": 1, "a": 2}}, {"properties": {"a": 2}}),
        ("drop: properties.none.x", {"properties": {}}, {"properties": {}}),
        ("cast: {field: properties.score, to: integer}", {"properties": {"score": "7"}}, {"properties": {"score": 7}}),
        ("cast: {field: a, to: integer}", {"a": 7.0}, {"a": 7}),
        ("cast: {field: a, to: number}", {"a": " 7.50 "}, {"a": Decimal("7.50")}),
        ("cast: {field: a, to: decimal}", {"a": 4.9900}, {"a": "4.99"}),
        ("cast: {field: a, to: string}", {"a": 17}, {"a": "17"}),
        ("cast: {field: a, to: string}", {"a": True}, {"a": "true"}),
        ("cast: {field: a, to: boolean}", {"a": "TRUE"}, {"a": True}),
        ("cast: {field: a, to: boolean}", {"a": 0}, {"a": False}),
        ("cast: {field: none, to: integer}", {"b": 1}, {"b": 1}),
        # the judge's path finds a flat event, another name of a field, and `parameters`
        ("cast: {field: properties.score, to: integer}", {"score": "7"}, {"score": 7}),
        ("cast: {field: user_id, to: string}", {"player_id": 17}, {"player_id": "17"}),
        ("cast: {field: properties.level_id, to: integer}",
         {"event_type": "enemy_defeated", "parameters": {"level": "3"}},
         {"event_type": "enemy_defeated", "parameters": {"level": 3}}),
    ],
)  # fmt: skip
def test_steps(step: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert fixed(before, step) == after


@pytest.mark.parametrize(
    ("step", "document"),
    [
        ("rename: {from: a, to: b}", {"a": 1, "b": 2}),
        ("cast: {field: a, to: integer}", {"a": "seven"}),
        ("cast: {field: a, to: integer}", {"a": 7.5}),
        ("cast: {field: a, to: integer}", {"a": str(2**63)}),
        ("cast: {field: a, to: integer}", {"a": True}),
        ("cast: {field: a, to: number}", {"a": "1e5"}),
        ("cast: {field: a, to: boolean}", {"a": "maybe"}),
        ("cast: {field: a, to: boolean}", {"a": 2}),
        ("cast: {field: a, to: string}", {"a": {}}),
        ("set: {field: properties.a.b, to: 1}", {"properties": {"a": 1}}),
        ("set: {field: a, expression: b + 1}", {}),
    ],
)
def test_a_step_that_cannot_be_done_names_rule_and_step(step: str, document: dict[str, Any]) -> None:
    with pytest.raises(NoValueError, match="Fix 1, step 2: "):
        fixed(document, "set: {field: ok, to: 1}", step)


def test_only_rules_that_fit_are_applied_in_order() -> None:
    text = """
    fixes:
      - when: {reason: TOO_LARGE}
        do: [{set: {field: a, to: 1}}]
      - when: {reason: [wrong_type, BAD_TEXT], type: score, field: properties.score}
        do: [{set: {field: a, to: 2}}]
      - do: [{set: {field: b, expression: a + 1}}]
    """
    record = Record(CATALOGUE, {}, letter())
    assert read_fixes(text, "fixes.yaml").applied(record, letter()) == 2
    assert record.document == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no `fixes`"),
        ("[]", "no `fixes`"),
        ("fixes: [", "line 1"),
        ("fixes: []", "fixes: "),
        ("fixes: [{do: []}]", r"fixes\[1\].do"),
        ("fixes: [{do: [{drop: a}, {drop: b, cast: {field: a, to: string}}]}]", r"do\[2\]: a step is exactly one"),
        ("fixes: [{do: [{delete: a}]}]", r"fixes\[1\].do\[1\].delete"),
        ("fixes: [{do: [{cast: {field: a, to: float}}]}]", r"cast.to: Input should be 'string', 'integer'"),
        ("fixes: [{do: [{set: {field: a}}]}]", "either `to` or `expression`"),
        ("fixes: [{do: [{set: {field: a, to: 1, expression: b}}]}]", "either `to` or `expression`"),
        ("fixes: [{do: [{set: {field: a, to: 1, to: 2}}]}]", "'to' is there twice"),
        ("fixes: [{do: [{set: {field: a, to: 2026-01-31}}]}]", "in quotes"),
        ("fixes: [{do: [{set: {field: a, to: [.nan]}}]}]", "no JSON value"),
        ("fixes: [{do: [{set: {field: a..b, to: 1}}]}]", "is no field"),
        ("fixes: [{do: [{set: {field: a, expression: 'open(a)'}}]}]", "There is no function 'open'"),
        ("fixes: [{when: {reason: WRONG}, do: [{drop: a}]}]", "'WRONG' is no reason"),
        ("fixes: [{when: {player: x}, do: [{drop: a}]}]", "when.player"),
        ("fixes: &x [*x]", "itself|fixes"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("fixes: [" + "[" * 5000, "fixes.yaml"),
        ("a: " + "x" * 300_000, "larger than 256 KiB"),
    ],
)
def test_what_is_wrong_with_a_file(text: str, said: str) -> None:
    with pytest.raises(FixFileError, match=said) as error:
        read_fixes(text, "fixes.yaml")
    assert str(error.value).startswith("fixes.yaml")

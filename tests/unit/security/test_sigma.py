"""Sigma files: what is read, and one clear sentence for what is not supported."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gamestream_dagster.security.errors import RuleError
from gamestream_dagster.security.evaluation import holds
from gamestream_dagster.security.flink_rules import ssh_rules_sql
from gamestream_dagster.security.sigma import FIELDS, Rule, load_rules

PLAIN = {"name": "one", "title": "One", "level": "low", "detection": {"s": {"host": "a"}, "condition": "s"}}
COUNT = {
    "name": "many",
    "title": "Many",
    "level": "high",
    "correlation": {
        "type": "event_count",
        "rules": ["one"],
        "group-by": ["source"],
        "timespan": "10s",
        "condition": {"gte": 2},
    },
}


def load(tmp_path: Path, *rules: object) -> dict[str, object]:
    for number, rule in enumerate(rules):
        (tmp_path / f"{number}.yml").write_text(yaml.safe_dump(rule), encoding="utf-8")
    return dict(load_rules(tmp_path))


def detects(tmp_path: Path, detection: dict[str, object], **fields: str) -> bool:
    rule = load(tmp_path, {**PLAIN, "detection": detection})["one"]
    assert isinstance(rule, Rule)
    return holds(rule.condition, {name: fields.get(name) for name in FIELDS})


@pytest.mark.parametrize(
    ("selection", "message", "matches"),
    [
        ({"message": "a*c"}, "abc\nc", True),
        ({"message": "a?c"}, "a\u2028c", True),
        ({"message": "a?c"}, "ac", False),
        ({"message": r"a\*c"}, "abc", False),
        ({"message": r"a\*c"}, "a*c", True),
        ({"message|startswith": "Invalid "}, "Invalid user", True),
        ({"message|startswith": "invalid "}, "Invalid user", False),
        ({"message|endswith": [".", "!"]}, "x!", True),
        ({"message|contains|all": ["a", "b"]}, "xbxa", True),
        ({"message|contains|all": ["a", "b"]}, "xa", False),
        ({"message": "it's (a) [b] {c} ^d$ e|f"}, "it's (a) [b] {c} ^d$ e|f", True),
        ({"message": None}, "x", False),
        ({"country": None}, "x", True),
        ([{"message": "y"}, {"message": "x"}], "x", True),
    ],
)
def test_selections(tmp_path: Path, selection: object, message: str, matches: bool) -> None:
    assert detects(tmp_path, {"s": selection, "condition": "s"}, message=message) is matches


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("a and b", False), ("a or b", True), ("a and not b", True), ("not (a or b)", False), ("1 of them", True),
        ("all of them", False), ("1 of a*", True), ("not b and a", True), ("b or a and not b", True),
    ],
)  # fmt: skip
def test_conditions(tmp_path: Path, condition: str, matches: bool) -> None:
    detection = {"a": {"host": "h"}, "b": {"host": "other"}, "condition": condition}
    assert detects(tmp_path, detection, host="h") is matches


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({**PLAIN, "detection": {"s": {"user": "a"}, "condition": "s"}}, "no field 'user'"),
        ({**PLAIN, "detection": {"s": {"host|re": "a"}, "condition": "s"}}, "modifiers re are not supported"),
        ({**PLAIN, "detection": {"s": {"host": "a"}, "condition": "s | count() > 5"}}, "not supported"),
        ({**PLAIN, "detection": {"s": {"host": "a"}, "condition": "s and t"}}, "'t', which is no selection"),
        ({**PLAIN, "detection": {"s": {"host": "a"}, "condition": "(s"}}, "closing parenthesis"),
        ({**PLAIN, "detection": {"s": {"host": "a"}, "condition": "s s"}}, "where it should end"),
        ({**PLAIN, "detection": {"s": {"host": "a"}, "timeframe": "5m", "condition": "s"}}, "timeframe"),
        ({**PLAIN, "detection": {"s": ["word"], "condition": "s"}}, "field: value"),
        ({**PLAIN, "detection": {"s": {"host": "${postgres_password}"}, "condition": "s"}}, "no rule can have"),
        ({**PLAIN, "level": "loud"}, "`level`"),
        ({**PLAIN, "name": "x; DROP"}, "no identifier"),
        ({**PLAIN, "filter": {}}, "filter is not supported"),
        ({"name": "one"}, "needs `detection` or `correlation`"),
        ("text", "holds no rule"),
        ({**COUNT, "correlation": {**COUNT["correlation"], "group-by": ["host"]}}, "group-by: [source]"),  # type: ignore[dict-item]
        ({**COUNT, "correlation": {**COUNT["correlation"], "type": "value_count"}}, "'value_count' is not supported"),  # type: ignore[dict-item]
        ({**COUNT, "correlation": {**COUNT["correlation"], "timespan": "soon"}}, "no duration"),  # type: ignore[dict-item]
        ({**COUNT, "correlation": {**COUNT["correlation"], "condition": {"gt": 5}}}, "`gte`"),  # type: ignore[dict-item]
        ({**COUNT, "correlation": {**COUNT["correlation"], "rules": ["none"]}}, "must name one rule"),  # type: ignore[dict-item]
    ],
)
def test_what_is_not_supported_is_named(tmp_path: Path, rule: object, says: str) -> None:
    with pytest.raises(RuleError) as error:
        load(tmp_path, rule)
    assert says in str(error.value)


def test_a_folder_without_rules_and_a_name_twice(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="holds no rule"):
        load_rules(tmp_path)
    with pytest.raises(RuleError, match="is taken"):
        load(tmp_path, PLAIN, PLAIN)


def test_texts_of_rules_are_literals_of_the_sql(tmp_path: Path) -> None:
    text = "a'; DROP TABLE x; --"
    rules = load(tmp_path, {**PLAIN, "detection": {"s": {"host|contains": text}, "condition": "s"}}, COUNT)
    sql = ssh_rules_sql(rules)  # type: ignore[arg-type]
    assert "POSITION('a''; DROP TABLE x; --' IN host) > 0" in sql
    assert "many_1" in sql

"""The small language of fixes: what it computes, and that it is closed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gamestream_dagster.dead_letters.errors import ExpressionError, NoValueError
from gamestream_dagster.dead_letters.expressions import MAX_CHARACTERS, parse

RECORD: dict[tuple[str, ...], Any] = {
    ("a",): 6,
    ("text",): "  Ab ",
    ("properties", "price"): Decimal("4.99"),
    ("empty",): "",
    ("flag",): True,
    ("object",): {"x": 1},
    ("long",): "x" * 30_000,
    ("big",): Decimal("9" * 45),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a * 100", 600),
        ("a / 4", Decimal("1.5")),
        ("-a + 2 * (a - 1)", 4),
        ("properties.price * 100", 499),
        ("round(properties.price)", 5),
        ("round(a / 7, 2)", Decimal("0.86")),
        ("floor(-1.5)", -2),
        ("abs(-a)", 6),
        ("min(a, 2)", 2),
        ("max(a, 2, 7.5)", Decimal("7.5")),
        ('concat("e-", a, "-", flag)', "e-6-true"),
        ("lower(trim(text))", "ab"),
        ('replace(text, " ", "")', "Ab"),
        ("left(trim(text), 1)", "A"),
        ('coalesce(missing, empty, "x")', "x"),
        ("missing", None),
        ("True", True),
        ("9223372036854775807 + 1", Decimal(2**63)),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = parse(text).value(RECORD.get)
    assert found == value
    assert type(found) is type(value) or isinstance(value, Decimal)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a ** 9999999",
        "a % 2",
        "a // 2",
        "'x' if a else 'y'",
        "[a]",
        "{}",
        "(1, 2)",
        "a[0]",
        "a.b().c",
        "__import__('os')",
        "open('/etc/passwd')",
        "().__class__",
        "lambda: 1",
        "f'{a}'",
        "a := 1",
        "concat(*a)",
        "concat(x=1)",
        "a == 1",
        "not a",
        "b'x'",
        "1j",
        "1e999",
        "None",
        "...",
        "concat()",
        "left(text)",
        "x" * (MAX_CHARACTERS + 1),
        "(" * 250 + "1" + ")" * 250,
        "-" * 499 + "1",
        "+".join("1" * 240),
        "a\0",
    ],
)
def test_the_language_is_closed(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "missing + 1",
        "text * 2",
        "flag + 1",
        "a / 0",
        "0 / 0",
        "object",
        "concat(object)",
        "concat(missing)",
        "concat(long, long)",
        'replace(long, "x", long)',
        'replace(text, "", "x")',
        "left(text, -1)",
        "left(text, 1.5)",
        "round(a, 99)",
        "round(big * big, 18)",
    ],
)
def test_what_has_no_value_says_so(text: str) -> None:
    with pytest.raises(NoValueError):
        parse(text).value(RECORD.get)

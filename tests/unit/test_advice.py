"""Every command that the product gives as advice is followed by a test (tests/advice.yaml)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gamestream_dagster.settings import PROJECT_ROOT

TESTS = Path(__file__).parents[1]
AREAS = ("reconciliation", "archive", "flink_jobs")
ADVICE: dict[str, str] = yaml.safe_load((TESTS / "advice.yaml").read_text(encoding="utf-8"))


def test_every_advice_is_known() -> None:
    given = {command for path in sources() for command in commands_in(path)}
    assert given == set(ADVICE)


@pytest.mark.parametrize("followed_by", sorted({one for one in ADVICE.values() if one != "looks"}))
def test_the_test_that_follows_it_exists(followed_by: str) -> None:
    file, _, name = followed_by.partition("::")
    assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8")


def sources() -> Iterator[Path]:
    for area in AREAS:
        yield from sorted((PROJECT_ROOT / "gamestream_dagster" / area).rglob("*.py"))


def commands_in(path: Path) -> Iterator[str]:
    """Commands between backticks in the strings of a module, its docstrings left out; X is any value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    strings = [one for one in ast.walk(tree) if isinstance(one, ast.Constant | ast.JoinedStr | ast.BinOp)]
    parts = {id(part) for one in strings for part in ast.walk(one) if part is not one}
    parts |= {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for one in strings:
        if id(one) not in parts:
            for command in re.findall(r"`(gamestream [^`]*)`", text_of(one)):
                yield re.sub(r"\{+\w*\}+|\bJOB\b", "X", command)


def text_of(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(text_of, values))
        case ast.BinOp(left=left, right=right):
            return text_of(left) + text_of(right)
        case _:
            return "X"

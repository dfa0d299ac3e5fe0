"""What needs servers runs last: here, in the first minute, it can at least be imported, and says what it covers."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(path for folder in ("integration", "browser") for path in (TESTS / folder).glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_can_be_imported_and_its_first_line_says_what_it_covers(path: Path) -> None:
    importlib.import_module(f"tests.{path.parent.name}.{path.stem}")
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_none_reaches_into_another_folder() -> None:
    assert not [path for path in TESTS.rglob("*.py") if "sys.path" + "." in path.read_text(encoding="utf-8")]

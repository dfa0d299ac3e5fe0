"""The pages: found by their folders, named nowhere else."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gamestream_dagster.dashboard import navigation, pages
from gamestream_dagster.dashboard.navigation import load_pages

DASHBOARD = Path(navigation.__file__).parent
FOUND = load_pages()


def test_every_folder_is_a_page_and_the_boards_open_first() -> None:
    folders = {path.parent.name for path in (DASHBOARD / "pages").glob("*/page.py")}
    assert {one.name for one in FOUND} == folders
    assert FOUND[0].name == "leaderboards"
    assert len({one.page.order for one in FOUND}) == len(FOUND)


@pytest.mark.parametrize("found", FOUND, ids=lambda one: one.name)
def test_a_page_has_a_title_a_sentence_and_a_function(found: navigation.Found) -> None:
    assert found.page.title
    assert found.page.about.endswith(".")
    assert callable(importlib.import_module(f"{pages.__name__}.{found.name}.page").render)


@pytest.mark.parametrize("name", [one.name for one in FOUND])
def test_nothing_outside_its_folder_names_a_page(name: str) -> None:
    named = re.compile(rf"pages[./]{name}\b")
    own = DASHBOARD / "pages" / name
    others = [path for path in DASHBOARD.parent.rglob("*.py") if own not in path.parents]
    assert not [str(path) for path in others if named.search(path.read_text(encoding="utf-8"))]


def test_a_new_folder_is_a_new_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new_page"
    folder.mkdir()
    source = "from gamestream_dagster.dashboard.navigation import Page\nPAGE = Page('New', 'A page.', 45)\n"
    (folder / "__init__.py").write_text(source, encoding="utf-8")
    (folder / "page.py").write_text("drawn = []\ndef render():\n    drawn.append(1)\n", encoding="utf-8")
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path)])
    found = next(one for one in load_pages() if one.name == "new_page")
    assert (found.path, found.page.title) == ("new-page", "New")
    found.render()
    assert importlib.import_module(f"{pages.__name__}.new_page.page").drawn == [1]


def test_the_navigation_imports_no_page() -> None:
    """A page that somebody opens must not wait for the clients of the others."""
    code = (
        "import sys\nfrom gamestream_dagster.dashboard.navigation import load_pages\nload_pages()\n"
        "print([one for one in sys.modules if one.endswith('.page') or one == 'confluent_kafka'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

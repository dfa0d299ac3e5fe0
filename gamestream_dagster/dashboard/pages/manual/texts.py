"""The pages of `docs/` as Markdown for the dashboard: links lead to its own pages."""

from __future__ import annotations

import re
from pathlib import Path

from gamestream_dagster.settings import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"
_NAME = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)?")
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_TITLE = re.compile(r"^# +(.+)$", re.MULTILINE)


def text_of(name: str, folder: Path = DOCS) -> str | None:
    """One page by its path without `.md`, such as `runbooks/high_kafka_lag`; None where there is none."""
    path = folder / f"{name}.md"
    if not _NAME.fullmatch(name) or not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        return None
    text = _IMAGE.sub(r"*\1*", path.read_text(encoding="utf-8"))
    return _LINK.sub(lambda found: _linked(found[1], found[2], name, folder), text)


def listed(folder: Path = DOCS) -> dict[str, list[tuple[str, str]]]:
    """Names and titles of all pages, by folder; the empty folder holds those of the top."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted([*folder.glob("*.md"), *folder.glob("*/*.md")]):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if _NAME.fullmatch(name):
            title = _TITLE.search(path.read_text(encoding="utf-8"))
            words = title[1].partition(": `")[0] if title else name.rpartition("/")[2]
            found.setdefault(name.rpartition("/")[0], []).append((name, words.replace("_", " ")))
    return found


def _linked(label: str, target: str, name: str, folder: Path) -> str:
    """A link to another page of the docs as the dashboard serves it; to other files of the checkout, as text."""
    if target.startswith(("http://", "https://")):
        return f"[{label}]({target})"
    path, _, anchor = target.partition("#")
    if not path:
        return f"[{label}](#{anchor})"
    file = (folder / name).parent / path
    inside = file.suffix == ".md" and file.resolve().is_relative_to(folder.resolve())
    if not inside:
        return label
    page = file.resolve().relative_to(folder.resolve()).with_suffix("").as_posix()
    return f"[{label}](manual?page={page}{f'#{anchor}' if anchor else ''})"

"""Data Docs that open from disk, without network and scripts.

Great Expectations' own pages load styles and scripts from eight hosts, with players' names on the page. Here the
same pages get our style sheet and a policy that forbids everything else, and the index is built from our results.
"""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

import json
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from great_expectations.data_context import EphemeralDataContext
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from quality.results import QualityResult, SuiteResult

PAGES = Path(__file__).parent / "pages"
SITE = "local"
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline' file: 'self'; img-src data:\">"
)
_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)
_OUTSIDE = re.compile(r"<(?:link|img|iframe)\b[^>]*(?:https?://|static/)[^>]*>", re.DOTALL | re.IGNORECASE)
_HANDLER = re.compile(r"""(<[a-z][^<>]*?)\son[a-z]+=(?:"[^"]*"|'[^']*')""", re.IGNORECASE)
_NEWSLETTER = re.compile(r"<footer\b.*?</footer\s*>", re.DOTALL | re.IGNORECASE)


def publish(context: EphemeralDataContext, folder: Path, results: tuple[SuiteResult, ...]) -> Path:
    """Build the pages of this run beside `folder`, then swap them in; a reader never sees half a site.

    Returns:
        The path of index.html.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _build(context, new)
        pages = _make_local(new)
        (new / "index.html").write_text(_index(results, pages), encoding="utf-8")
        (new / "results.json").write_text(_results(results, pages), encoding="utf-8")
        new.chmod(0o755)
        _replace(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder / "index.html"


def _build(context: EphemeralDataContext, folder: Path) -> None:
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    index = {"class_name": "DefaultSiteIndexBuilder", "show_cta_footer": False}
    site: Any = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
    context.add_data_docs_site(SITE, site)
    context.build_data_docs(site_names=[SITE])
    # Fonts and pictures of the original style: 2 MB that nothing refers to any more.
    shutil.rmtree(folder / "static", ignore_errors=True)


def _make_local(folder: Path) -> dict[str, str]:
    """Rewrite each page; returns suite name -> address of its results, relative to the index."""
    shutil.copyfile(PAGES / "data_docs.css", folder / "data_docs.css")
    found: dict[str, str] = {}
    for page in folder.rglob("*.html"):
        up = "../" * (len(page.relative_to(folder).parts) - 1)
        text = page.read_text(encoding="utf-8")
        for unwanted in (_SCRIPT, _OUTSIDE, _NEWSLETTER):
            text = unwanted.sub("", text)
        text = _HANDLER.sub(r"\1", text)
        own = f'{_POLICY}<link rel="stylesheet" href="{up}data_docs.css">'
        page.write_text(text.replace("</head>", f"{own}</head>", 1), encoding="utf-8")
        parts = page.relative_to(folder).parts
        if parts[0] == "validations":
            found[parts[1]] = "/".join(parts)
    return found


def _index(results: tuple[SuiteResult, ...], pages: dict[str, str]) -> str:
    environment = Environment(loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("index.html.j2").render(
        suites=results,
        pages=pages,
        state=QualityResult(results, PAGES, 0.0).state,
        built=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def _results(results: tuple[SuiteResult, ...], pages: dict[str, str]) -> str:
    """The suites for programs: the dashboard shows them without reading a page."""
    suites = [
        {
            "suite": one.suite,
            "title": one.title,
            "state": one.state.value,
            "evaluated": one.evaluated,
            "expectations": len(one.expectations),
            "held": sum(each.success for each in one.expectations),
            "sentence": one.sentence(),
            "page": pages.get(one.suite),
        }
        for one in results
    ]
    text = json.dumps({"built_at": datetime.now(UTC).isoformat(), "suites": suites})
    return text.replace("<", r"\u003c")  # the same text to a program, and never a tag to a browser


def _replace(folder: Path, new: Path) -> None:
    old = new.with_name(new.name + "-old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)

"""The page *Report*: the report of the last reconciliation, and links to it and to Data Docs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import streamlit as st

from gamestream_dagster.dashboard import source
from gamestream_dagster.settings import REPORTS_PATH

HEIGHT = 1100
REFRESH_SECONDS = 3


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    _newest()


@st.fragment(run_every=REFRESH_SECONDS)
def _newest() -> None:
    snapshot = source.snapshot()
    if snapshot.problem:
        st.info(f"{snapshot.problem.title}. Next: `{snapshot.problem.command}`")
        return
    last, settings = snapshot.last, source.settings()
    found = safe_report(settings.reports_dir, last.report_path if last else None)
    docs = settings.reports_dir / "data_docs" / "index.html"
    links: list[str] = []
    if found is not None:
        links.append(f"[The report on a page of its own]({settings.report_url(found)})")
    if docs.exists():
        links.append(f"[Data Docs of Great Expectations]({settings.report_url(docs)})")
    if links:
        st.markdown(" · ".join(links))
    if found is None:
        st.info("No report yet. Next: `gamestream reconcile`")
        return
    # by address, not as text: links to earlier reports work, and the route's content policy applies
    address = f"/{REPORTS_PATH}/{quote(found.relative_to(settings.reports_dir.resolve()).as_posix())}"
    st.iframe(address, height=HEIGHT, alt="Report of the last reconciliation")
    st.caption("The same report as a file")
    st.code(str(found), language=None)


def safe_report(reports: Path, stored: str | None) -> Path | None:
    """The report's file, if it is HTML below `reports`; else None."""
    if not stored:
        return None
    root = reports.resolve()
    path = (root / stored).resolve()
    inside = path.is_relative_to(root)
    usable = inside and path.suffix == ".html" and path.is_file()
    return path if usable else None

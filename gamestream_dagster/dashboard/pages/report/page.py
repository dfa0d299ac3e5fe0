"""The page *Report*: the report of the last reconciliation, and links to it and to Data Docs."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, markup
from gamestream_dagster.dashboard.pages.report import PAGE
from gamestream_dagster.dashboard.reading import Problem, look_at_postgres
from gamestream_dagster.dashboard.reports import address_of, safe_report
from gamestream_dagster.reconciliation.results.proofs import FinishedRun, newest_run
from gamestream_dagster.warehouse.tables import reconciliation_runs

HEIGHT = 1100
REFRESH_SECONDS = 3


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    st.html(header(PAGE, source.theme(), source.links()))
    _newest()


@st.cache_data(ttl=REFRESH_SECONDS * 0.8, show_spinner=False)
def _last() -> FinishedRun | Problem | None:
    return look_at_postgres(
        source.engine(), lambda link, present: newest_run(link) if reconciliation_runs.name in present else None
    )


@st.fragment(run_every=REFRESH_SECONDS)
def _newest() -> None:
    last, settings = _last(), source.settings()
    if isinstance(last, Problem):
        st.html(markup("problem", problem=last, theme=source.theme()))
        return
    found = safe_report(settings.reports_dir, last.report_path if last else None)
    docs = settings.reports_dir / "data_docs" / "index.html"
    links: list[str] = []
    if found is not None:
        links.append(f"[The report on its own page]({address_of(settings.reports_dir, found)})")
    if docs.exists():
        links.append(f"[Data Docs of Great Expectations]({address_of(settings.reports_dir, docs)})")
    if links:
        st.markdown(" · ".join(links))
    if found is None:
        nothing = Problem("No report yet", "Each proof of the boards writes one.", "gamestream reconcile")
        st.html(markup("problem", problem=nothing, theme=source.theme()))
        return
    # by address, not as text: links to earlier reports work, and the route's content policy applies
    st.iframe(address_of(settings.reports_dir, found), height=HEIGHT, alt="Report of the last reconciliation")
    st.caption("The same report as a file")
    st.code(str(found), language=None)

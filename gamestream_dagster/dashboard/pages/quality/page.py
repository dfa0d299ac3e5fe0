"""Draws the page *Quality*."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, markup, panels
from gamestream_dagster.dashboard.pages.quality import PAGE, view
from gamestream_dagster.dashboard.pages.quality.proofs import Proofs, read_proofs
from gamestream_dagster.dashboard.pages.quality.suites import DocsRun, read_runs
from gamestream_dagster.dashboard.reading import Problem, look_at_postgres
from gamestream_dagster.dashboard.reports import address_of, safe_report


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    _current()


@st.cache_resource(show_spinner=False)
def _boards() -> list[Board]:
    return [board for board in load_boards(season=source.settings().season).values() if board.ranked]


@st.cache_data(ttl=source.SLOW_REFRESH_SECONDS * 0.9, show_spinner=False)
def _read() -> tuple[Proofs | Problem, list[DocsRun]]:
    names = [board.name for board in _boards()]
    found = look_at_postgres(source.engine(), lambda link, present: read_proofs(link, present, names))
    return found, read_runs(source.settings().reports_dir)


@st.fragment(run_every=source.SLOW_REFRESH_SECONDS)
def _current() -> None:
    proofs, runs = _read()
    theme = source.theme()
    links = [*source.links(), ("Report", "report")]
    if isinstance(proofs, Problem):
        st.html(header(PAGE, theme, links))
        st.html(markup("problem", problem=proofs, theme=theme))
        return
    st.html(header(PAGE, theme, links, read_at=proofs.read_at))
    shown = view.panels(proofs, _boards(), runs, _report_url, _file_url)
    st.html(panels(theme, view.tiles(proofs, _boards(), runs, _report_url), shown))


def _report_url(stored: str | None) -> str:
    reports = source.settings().reports_dir
    found = safe_report(reports, stored)
    return address_of(reports, found) if found else ""


def _file_url(path: Path) -> str:
    return address_of(source.settings().reports_dir, path)

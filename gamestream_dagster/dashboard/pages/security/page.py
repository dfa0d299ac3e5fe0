"""Draws the page *Security*."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, markup, panels
from gamestream_dagster.dashboard.pages.security import PAGE, view
from gamestream_dagster.dashboard.pages.security.found import Found, read_found
from gamestream_dagster.dashboard.reading import Problem, look_at_postgres


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    _current()


@st.cache_data(ttl=source.SLOW_REFRESH_SECONDS * 0.9, show_spinner=False)
def _read() -> Found | Problem:
    return look_at_postgres(source.engine(), read_found)


@st.fragment(run_every=source.SLOW_REFRESH_SECONDS)
def _current() -> None:
    found, theme = _read(), source.theme()
    if isinstance(found, Problem):
        st.html(header(PAGE, theme, source.links()))
        st.html(markup("problem", problem=found, theme=theme))
        return
    st.html(header(PAGE, theme, source.links(), read_at=found.read_at))
    st.html(panels(theme, view.tiles(found), view.panels(found)))

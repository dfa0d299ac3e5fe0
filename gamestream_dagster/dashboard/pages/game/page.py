"""Draws the page *Game*."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, markup, panels
from gamestream_dagster.dashboard.pages.game import PAGE, view
from gamestream_dagster.dashboard.pages.game.settled import Settled, read_settled
from gamestream_dagster.dashboard.pages.game.shapes import Shown, shown
from gamestream_dagster.dashboard.reading import Problem, look_at_postgres

REFRESH_SECONDS = 30.0  # a day changes when it is settled


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    _current()


@st.cache_resource(show_spinner=False)
def _metrics() -> list[Shown]:
    return shown(load_metrics())


@st.cache_data(ttl=REFRESH_SECONDS * 0.9, show_spinner=False)
def _read() -> Settled | Problem:
    return look_at_postgres(source.engine(), lambda link, present: read_settled(link, present, _metrics()))


@st.fragment(run_every=REFRESH_SECONDS)
def _current() -> None:
    settled, theme = _read(), source.theme()
    if isinstance(settled, Problem):
        _read.clear()  # look again at the next refresh, and not half a minute later
        st.html(header(PAGE, theme, source.links()))
        st.html(markup("problem", problem=settled, theme=theme))
        return
    st.html(header(PAGE, theme, source.links(), read_at=settled.read_at))
    st.html(panels(theme, view.tiles(settled, _metrics()), view.panels(settled, _metrics())))

"""Draws the page *Experiments*."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, panels
from gamestream_dagster.dashboard.pages.experiments import PAGE, view
from gamestream_dagster.dashboard.pages.experiments.kept import Kept, read_kept

REFRESH_SECONDS = 30.0  # an experiment is read once a day


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    _current()


@st.cache_data(ttl=REFRESH_SECONDS * 0.9, show_spinner=False)
def _read() -> tuple[Sequence[Kept], datetime]:
    return read_kept(source.settings()), datetime.now(UTC)


@st.fragment(run_every=REFRESH_SECONDS)
def _current() -> None:
    kept, now = _read()
    theme = source.theme()
    st.html(header(PAGE, theme, source.links(), read_at=now))
    st.html(panels(theme, view.tiles(kept), view.panels(kept, now)))

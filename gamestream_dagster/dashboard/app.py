"""The pages of the dashboard, started by `serve.py`. Each page is a module with `render()`."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.dashboard import leaderboards, report
from gamestream_dagster.dashboard.markup import STYLE

st.set_page_config(page_title="gamestream", page_icon="🏆", layout="wide", initial_sidebar_state="collapsed")
st.html(STYLE)
st.navigation(
    [
        st.Page(leaderboards.render, title="Leaderboards", url_path="leaderboards", default=True),
        st.Page(report.render, title="Report", url_path="report"),
    ],
    position="top",
).run()

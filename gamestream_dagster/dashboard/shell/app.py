"""The shell of the dashboard, started by `serve.py`: style and navigation around the page that is open."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.dashboard.markup import STYLE
from gamestream_dagster.dashboard.navigation import load_pages

st.set_page_config(page_title="gamestream", page_icon="🏆", layout="wide", initial_sidebar_state="collapsed")
st.html(STYLE)
found = load_pages()
st.navigation(
    [
        st.Page(one.render, title=one.page.title, url_path=one.path, default=place == 0)
        for place, one in enumerate(found)
    ],
    position="top",
).run()

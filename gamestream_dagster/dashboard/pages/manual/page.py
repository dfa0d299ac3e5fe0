"""Draws the page *Manual*."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header
from gamestream_dagster.dashboard.pages.manual import PAGE
from gamestream_dagster.dashboard.pages.manual.texts import listed, text_of

_PARTS = {"": "How things work", "metrics": "Settled metrics", "runbooks": "Runbooks"}


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    st.html(header(PAGE, source.theme(), source.links()))
    name = st.query_params.get("page", "")
    text = text_of(name) if name else None
    if text is not None:
        st.markdown("[← All pages](manual)")
        st.markdown(text)
        return
    if name:
        st.info("There is no such page. These are all of them.")
    pages = listed()
    if not pages:
        st.info("The docs are part of a checkout of gamestream, and this installation has none.")
    for column, (folder, found) in zip(st.columns(max(1, len(pages))), pages.items(), strict=False):
        lines = "\n".join(f"- [{title}](manual?page={path})" for path, title in found)
        column.markdown(f"#### {_PARTS.get(folder, folder.capitalize())}\n\n{lines}")

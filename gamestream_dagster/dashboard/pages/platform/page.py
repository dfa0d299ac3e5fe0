"""Draws the page *Platform*."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.catalogue.topics import load_topics
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, panels
from gamestream_dagster.dashboard.pages.platform import PAGE, view
from gamestream_dagster.dashboard.pages.platform.looks import SECONDS, Platform, Watch
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    _current()


@st.cache_resource(show_spinner=False)
def _wanted() -> view.Wanted:
    settings = source.settings()
    return view.Wanted(load_jobs(FLINK_SQL_DIR, season=settings.season), load_topics(settings.topic_profile))


@st.cache_resource(show_spinner=False)
def _watch() -> Watch:
    settings = source.settings()
    return Watch(
        settings, source.engine(), load_book(settings.home), KafkaAdmin(settings.kafka, timeout_seconds=SECONDS)
    )


@st.cache_data(ttl=source.SLOW_REFRESH_SECONDS * 0.9, show_spinner=False)
def _look() -> Platform:
    return _watch().look()


@st.fragment(run_every=source.SLOW_REFRESH_SECONDS)
def _current() -> None:
    seen, theme = _look(), source.theme()
    st.html(header(PAGE, theme, source.links(), read_at=seen.read_at))
    flink_url = source.settings().flink_rest
    st.html(panels(theme, view.tiles(seen, _wanted()), view.panels(seen, _wanted(), flink_url)))

"""Draws the page *Live ops*."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.alerts.rules import Book, load_book
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, panels
from gamestream_dagster.dashboard.pages.live_ops import PAGE, view
from gamestream_dagster.dashboard.pages.live_ops.minutes import Moment, read_moment
from gamestream_dagster.dashboard.pages.live_ops.stream import Pulse, StreamWatch
from gamestream_dagster.dashboard.reading import Background, Problem, look_at_postgres

SECONDS = 2.0
"""Limit of a request to Kafka."""
PATIENCE_SECONDS = 1.5
"""Limit of all that is asked of Kafka: the page is drawn without it then."""


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    _current()


@st.cache_resource(show_spinner=False)
def _book() -> Book:
    return load_book(source.settings().home)


@st.cache_resource(show_spinner=False)
def _stream() -> Background[Pulse]:
    return Background("Kafka", StreamWatch(KafkaAdmin(source.settings().kafka, timeout_seconds=SECONDS)).look)


@st.cache_data(ttl=source.REFRESH_SECONDS * 0.8, show_spinner=False)
def _look() -> tuple[Pulse | Problem, Moment | Problem]:
    """Kafka and Postgres at once, at most a refresh ago, however many readers there are."""
    book, pulse = _book(), _stream().ask()
    moment = look_at_postgres(source.engine(), lambda link, present: read_moment(link, present, book))
    return pulse(PATIENCE_SECONDS), moment


@st.fragment(run_every=source.REFRESH_SECONDS)
def _current() -> None:
    pulse, moment = _look()
    theme = source.theme()
    st.html(header(PAGE, theme, source.links(), read_at=None if isinstance(moment, Problem) else moment.read_at))
    st.html(panels(theme, view.tiles(pulse, moment), view.panels(pulse, moment)))

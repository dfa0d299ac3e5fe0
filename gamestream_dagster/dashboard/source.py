"""What all sessions share: the settings, and one engine for short reads."""

from __future__ import annotations

import streamlit as st
from sqlalchemy import Engine

from gamestream_dagster.clients import postgres
from gamestream_dagster.settings import Settings, load_settings

REFRESH_SECONDS = 1.0
SLOW_REFRESH_SECONDS = 5.0
"""Of pages about what changes with a run or a day; also how long their reads are shared."""
STATEMENT_TIMEOUT_SECONDS = 2


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The stack that `GAMESTREAM_HOME` names."""
    return load_settings()


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """For short reads: a statement that takes longer than two seconds is cancelled."""
    return postgres.engine(settings(), statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS)


def theme() -> str:
    """`light`, `dark`, or `auto` where the browser has not said."""
    return st.context.theme.type or "auto"


def links() -> list[tuple[str, str]]:
    """The other surfaces of the stack."""
    return [("Dagster", settings().dagster_url), ("Flink", settings().flink_rest)]

"""What all sessions share: one engine, and one look at Postgres a second, however many readers there are."""

from __future__ import annotations

import streamlit as st
from sqlalchemy import Engine

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.clients import postgres
from gamestream_dagster.dashboard.snapshot import Snapshot, read_snapshot
from gamestream_dagster.settings import Settings, load_settings

REFRESH_SECONDS = 1.0
STATEMENT_TIMEOUT_SECONDS = 2


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The stack that `GAMESTREAM_HOME` names."""
    return load_settings()


@st.cache_resource(show_spinner=False)
def boards() -> dict[str, Board]:
    """Every board that the stack keeps, from `flink_sql/`: the outputs with ranks."""
    return {name: board for name, board in load_boards(season=settings().season).items() if board.ranked}


@st.cache_data(ttl=REFRESH_SECONDS * 0.8, show_spinner=False)
def snapshot() -> Snapshot:
    """The newest look at Postgres, at most a refresh old."""
    return read_snapshot(_engine(), boards())


@st.cache_resource(show_spinner=False)
def _engine() -> Engine:
    return postgres.engine(settings(), statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS)

"""Draws the page *Player*. Ids stay in the session: they are in no address, and in no log."""

from __future__ import annotations

import streamlit as st

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.metrics import Metric, load_metrics
from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, markup, panels
from gamestream_dagster.dashboard.pages.player import PAGE, view
from gamestream_dagster.dashboard.pages.player.answers import explain, trace
from gamestream_dagster.dashboard.pages.player.history import (
    MOST_CHARACTERS,
    PLAYER,
    History,
    about_players,
    players_like,
    read_history,
)
from gamestream_dagster.dashboard.reading import Problem, look_at, look_at_postgres

_MOST_EVENT_ID = 1_000


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    st.html(header(PAGE, source.theme(), source.links()))
    left, right = st.columns(2, gap="large")
    with left:
        player, _ = _asked("player", "Player id", "Find the player", MOST_CHARACTERS)
        if not player:
            _choose("Players on the boards", "", [])
    with right:
        event, is_asked = _asked("event", "Event id", "What became of it?", _MOST_EVENT_ID)
    if is_asked and event:
        _event(event)
    elif player:
        _player(player)
    else:
        st.html(panels(source.theme(), (), [view.start()]))


def _asked(name: str, label: str, button: str, most: int) -> tuple[str, bool]:
    """What was typed, and whether its button was pressed just now."""
    with st.form(name, border=False):
        field, press = st.columns([3, 2], vertical_alignment="bottom")
        text = field.text_input(label, key=f"{name}_id", max_chars=most, autocomplete="off")
        pressed = press.form_submit_button(button)
    return text.strip(), pressed


def _choose(label: str, begin: str, metrics: list[Metric]) -> None:
    """Players to choose from, where there are any."""
    found = look_at_postgres(
        source.engine(), lambda link, present: players_like(link, present, begin, _boards(), metrics)
    )
    if isinstance(found, list) and found:
        st.selectbox(label, found, index=None, placeholder="Choose one", key="suggested", on_change=_chosen)


def _chosen() -> None:
    st.session_state["player_id"] = st.session_state["suggested"] or ""


@st.cache_resource(show_spinner=False)
def _boards() -> list[Board]:
    return [board for board in load_boards(season=source.settings().season).values() if board.ranked]


@st.cache_resource(show_spinner=False)
def _metrics() -> list[Metric]:
    return about_players(load_metrics())


def _player(player: str) -> None:
    theme = source.theme()
    found = look_at_postgres(
        source.engine(), lambda link, present: read_history(link, present, player, _boards(), _metrics())
    )
    if isinstance(found, Problem):
        st.html(markup("problem", problem=found, theme=theme))
        return
    if not found.is_known:
        _choose("Players whose id begins so", player, _metrics())
    st.html(panels(theme, (), view.panels(found, _metrics())))
    if found.is_known:
        _why(found)


def _why(history: History) -> None:
    """On demand: it adds to the archive what is new, and recomputes."""
    titles = {board.title: board.name for board in _boards() if board.entity == (PLAYER,)}
    with st.form("why", border=False):
        field, press, _ = st.columns([2, 1, 2], vertical_alignment="bottom")
        title = field.selectbox("Board", list(titles), key="why_board")
        is_asked = press.form_submit_button("Why this score?")
    if is_asked and title:
        with st.spinner("Archiving what is new, and recomputing the score from its events"):
            found = look_at(lambda: explain(source.settings(), titles[title], history.player))
        st.html(panels(source.theme(), (), [view.explained(found)]))


def _event(event_id: str) -> None:
    with st.spinner("Looking in the archive and in Kafka"):
        found = look_at(lambda: trace(source.settings(), event_id))
    st.html(panels(source.theme(), (), [view.traced(found)]))

"""The page *Leaderboards*: every board, live from Postgres. A fragment refreshes it."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import header, markup
from gamestream_dagster.dashboard.pages.leaderboards import PAGE
from gamestream_dagster.dashboard.pages.leaderboards.snapshot import Snapshot, read_snapshot
from gamestream_dagster.dashboard.pages.leaderboards.view import RUNNING, Seen, board_view, in_reading_order, remember
from gamestream_dagster.dashboard.parts import Badge, Tone, ago

_SEEN = "leaderboards_seen"
_CHANGED = "leaderboards_changed_at"


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    st.session_state.pop(_SEEN, None)
    _live()


@st.cache_resource(show_spinner=False)
def _boards() -> dict[str, Board]:
    """Every board that the stack keeps, from `flink_sql/`: the outputs with ranks."""
    return {name: board for name, board in load_boards(season=source.settings().season).items() if board.ranked}


@st.cache_data(ttl=source.REFRESH_SECONDS * 0.8, show_spinner=False)
def _snapshot() -> Snapshot:
    """The newest look at Postgres, at most a refresh old, however many readers there are."""
    return read_snapshot(source.engine(), _boards())


@st.fragment(run_every=source.REFRESH_SECONDS)
def _live() -> None:
    snapshot = _snapshot()
    theme = source.theme()
    if snapshot.problem:
        st.html(markup("problem", problem=snapshot.problem, theme=theme))
        return
    before: Seen | None = st.session_state.get(_SEEN)
    now: Seen = {name: remember(board, snapshot) for name, board in _boards().items()}
    if before is not None and before != now:
        st.session_state[_CHANGED] = snapshot.read_at
    st.session_state[_SEEN] = now
    st.html(_header(snapshot, theme))
    views = [
        board_view(board, snapshot, before.get(board.name) if before else None)
        for board in in_reading_order(_boards().values())
    ]
    # One element for all boards: the first paint shows the whole page.
    st.html(markup("leaderboards/boards", boards=views, theme=theme))


def _header(snapshot: Snapshot, theme: str) -> str:
    changed: datetime | None = st.session_state.get(_CHANGED)
    return header(
        PAGE,
        theme,
        [*source.links(), ("Report", "report")],
        read_at=snapshot.read_at,
        badges=(_stream(snapshot), _proof(snapshot)),
        remark=f"last change {changed:%H:%M:%S}" if changed else "no change seen yet",
    )


def _stream(snapshot: Snapshot) -> Badge:
    jobs = {board.job for board in _boards().values()}
    running = sum(snapshot.job_states.get(job) == RUNNING for job in jobs)
    hint = ", ".join(f"{job}: {snapshot.job_states.get(job, 'not deployed')}" for job in sorted(jobs))
    return Badge(f"{running} of {len(jobs)} jobs running", Tone.LIVE if running == len(jobs) else Tone.BAD, hint)


def _proof(snapshot: Snapshot) -> Badge:
    last = snapshot.last
    if last is None:
        return Badge("not verified yet", Tone.WARN, "Run: gamestream reconcile")
    tones = {"MATCH": Tone.GOOD, "EXPLAINED": Tone.GOOD, "DIFFERENT": Tone.BAD}
    hint = f"Run {last.run_id} compared {last.rows_compared} rows. {last.reason}".strip()
    label = f"{last.verdict} · {ago(snapshot.read_at - last.finished_at)}"
    return Badge(label, tones.get(last.verdict, Tone.WARN), hint)

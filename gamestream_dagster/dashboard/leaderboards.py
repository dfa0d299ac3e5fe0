"""The page *Leaderboards*: every board, live from Postgres. A fragment refreshes it."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from gamestream_dagster.dashboard import source
from gamestream_dagster.dashboard.markup import markup
from gamestream_dagster.dashboard.snapshot import Snapshot
from gamestream_dagster.dashboard.view import RUNNING, Badge, Seen, Tone, ago, board_view, in_reading_order, remember

_SEEN = "leaderboards_seen"
_CHANGED = "leaderboards_changed_at"


def render() -> None:
    """Draw the page; called by Streamlit at each visit."""
    st.session_state.pop(_SEEN, None)
    _live()


@st.fragment(run_every=source.REFRESH_SECONDS)
def _live() -> None:
    snapshot = source.snapshot()
    theme = st.context.theme.type or "auto"
    if snapshot.problem:
        st.html(markup("problem", problem=snapshot.problem, theme=theme))
        return
    before: Seen | None = st.session_state.get(_SEEN)
    now: Seen = {name: remember(board, snapshot) for name, board in source.boards().items()}
    if before is not None and before != now:
        st.session_state[_CHANGED] = snapshot.read_at
    st.session_state[_SEEN] = now
    st.html(_header(snapshot, theme))
    views = [
        board_view(board, snapshot, before.get(board.name) if before else None)
        for board in in_reading_order(source.boards().values())
    ]
    # One element for all boards: the first paint shows the whole page.
    st.html(markup("boards", boards=views, theme=theme))


def _header(snapshot: Snapshot, theme: str) -> str:
    changed: datetime | None = st.session_state.get(_CHANGED)
    settings = source.settings()
    links = [("Dagster", settings.dagster_url), ("Flink", settings.flink_rest), ("Report", "report")]
    return markup(
        "header",
        theme=theme,
        badges=(_stream(snapshot), _proof(snapshot)),
        read_at=f"{snapshot.read_at:%H:%M:%S}",
        changed_at=f"last change {changed:%H:%M:%S}" if changed else "no change seen yet",
        links=links,
    )


def _stream(snapshot: Snapshot) -> Badge:
    jobs = {board.job for board in source.boards().values()}
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

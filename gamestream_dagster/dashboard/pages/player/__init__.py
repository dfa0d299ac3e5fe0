"""The page *Player*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(
    title="Player", about="One player: boards, history, why a score is what it is; and any event's fate.", order=60
)

"""The page *Leaderboards*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Leaderboards", about="Live from the stream, proven against an independent recompute.", order=10)

"""The page *Game*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Game", about="The settled numbers of each day: players, money, levels, retention.", order=30)

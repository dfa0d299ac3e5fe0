"""The page *Live ops*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Live ops", about="The game at this moment, second by second.", order=20)

"""The page *Docs*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Docs", about="What the numbers mean, and what to do when one is wrong.", order=90)

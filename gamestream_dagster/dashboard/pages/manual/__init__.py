"""The page *Manual*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Manual", about="What the numbers mean, and what to do when one is wrong.", order=90)

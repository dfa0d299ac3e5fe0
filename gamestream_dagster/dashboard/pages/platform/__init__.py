"""The page *Platform*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(
    title="Platform", about="Servers, jobs, topics and alerts at this moment; to look at, not to change.", order=70
)

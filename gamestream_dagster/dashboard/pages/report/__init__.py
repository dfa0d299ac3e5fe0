"""The page *Report*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Report", about="The report of the newest reconciliation.", order=80)

"""The page *Security*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Security", about="Attacks on SSH servers, found in their log lines.", order=65)

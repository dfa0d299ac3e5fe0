"""The page *Quality*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Quality", about="What was proven, when, and why a row differs.", order=50)

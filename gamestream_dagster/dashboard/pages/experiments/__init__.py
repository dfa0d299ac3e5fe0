"""The page *Experiments*."""

from gamestream_dagster.dashboard.navigation import Page

PAGE = Page(title="Experiments", about="Which arm is better, by how much, and whether you can trust it.", order=40)

"""Headings of `gamestream --help`, in the order in which they appear."""

SERVERS = "Servers"
RESOURCES = "Topics, tables and jobs"
EVENTS = "Events"
PROOF = "Boards and their proof"
QUALITY = "Checks and measurements"

"""Headings of `gamestream --help`, in their order."""

SERVERS = "Servers"
RESOURCES = "Topics, tables and jobs"
EVENTS = "Events"
PROOF = "Boards and their proof"
QUALITY = "Checks and measurements"

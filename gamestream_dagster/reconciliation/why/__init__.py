"""Why a player or a team has the row shown: the events that make it, those that do not count, and the next ranks."""

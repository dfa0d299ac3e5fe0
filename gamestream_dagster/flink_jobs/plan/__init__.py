"""From what is wanted and what was observed to the steps. Pure."""

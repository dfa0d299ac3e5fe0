"""Live numbers of a day against the settled ones, and why they differ."""

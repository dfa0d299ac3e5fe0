"""Whole lives of simulated players: who installs when, what they do each day, and the truth about it."""

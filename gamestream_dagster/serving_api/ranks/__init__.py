"""Ranks of all players: a sorted set in Valkey, loaded from the topic of player totals, at a known cut."""

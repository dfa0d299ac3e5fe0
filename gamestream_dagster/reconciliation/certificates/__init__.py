"""Boards at an exact cut, with all that is needed to compute them again."""

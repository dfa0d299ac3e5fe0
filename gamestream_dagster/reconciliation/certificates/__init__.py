"""Boards at an exact cut, with everything needed to recompute them."""

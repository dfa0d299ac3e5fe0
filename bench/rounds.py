"""Alternates contestants: A, B, A, B ... so that disturbances of the machine affect all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

Say = Callable[[str], None]


def alternate(
    contestants: Mapping[str, Callable[[], T]], rounds: int, say: Say = lambda _: None, *, warm_up: bool = True
) -> dict[str, list[T]]:
    """Run each contestant `rounds` times in turn, after one discarded warm-up.

    Args:
        contestants: by name, in the order in which each round runs them.
        rounds: number of rounds that count.
        say: receives each result.
        warm_up: False: discard nothing.

    Raises:
        Whatever a contestant raises: an incomplete run is no run.
    """
    found: dict[str, list[T]] = {name: [] for name in contestants}
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, run in contestants.items():
            result = run()
            say(f"{'warm-up' if number == 0 else f'round {number} of {rounds}'}: {name}: {result}")
            if number:
                found[name].append(result)
    return found

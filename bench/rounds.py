"""Contestants in turn: A, B, A, B ... so that what happens to the machine meanwhile happens to all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

Say = Callable[[str], None]


def alternate(
    contestants: Mapping[str, Callable[[], T]], rounds: int, say: Say = lambda _: None, *, warm_up: bool = True
) -> dict[str, list[T]]:
    """Run each contestant `rounds` times in turn, after one round that is thrown away.

    Args:
        contestants: by name, in the order in which each round runs them.
        rounds: how many count.
        say: told of each result.
        warm_up: False: nothing is thrown away.

    Raises:
        Whatever a contestant raises: a run with a hole in it is no run.
    """
    found: dict[str, list[T]] = {name: [] for name in contestants}
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, run in contestants.items():
            result = run()
            say(f"{'warm-up' if number == 0 else f'round {number} of {rounds}'}: {name}: {result}")
            if number:
                found[name].append(result)
    return found

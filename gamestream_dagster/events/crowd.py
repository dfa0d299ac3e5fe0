"""The simulated players: teams with a lifetime, members, robots and regions, after Beam's mobile-gaming generator."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

COLOURS: Final = (
    *("Amber", "Aqua", "Azure", "Beige", "Coral", "Crimson", "Cyan", "Ebony", "Emerald", "Fuchsia", "Golden"),
    *("Indigo", "Ivory", "Jade", "Lilac", "Magenta", "Mauve", "Ochre", "Olive", "Ruby", "Silver", "Teal"),
)
ANIMALS: Final = (
    *("Badger", "Bilby", "Bison", "Cockatoo", "Dingo", "Dolphin", "Echidna", "Emu", "Falcon", "Gecko", "Heron"),
    *("Kangaroo", "Koala", "Lynx", "Marmot", "Numbat", "Otter", "Platypus", "Possum", "Quokka", "Wallaby", "Wombat"),
)
REGIONS: Final = ("NA", "EU", "ASIA")
MIN_MEMBERS: Final = 5
MAX_MEMBERS: Final = 15
ROBOT_SHARE: Final = 0.34  # teams with a robot, which plays more often than a person
SAME_NAME_SHARE: Final = 0.05  # teams with the name of another live team: a name does not identify a team


@dataclass(slots=True)
class Team:
    """One live team. `ends_ms` is when it breaks up, in the simulation's own time."""

    team_id: str
    team_name: str
    members: tuple[str, ...]
    robot: str | None
    ends_ms: int


@dataclass
class Crowd:
    """A fixed number of places for players; teams come and go.

    Args:
        rng: the only random source.
        id_offset: added to the team serial before scrambling, so that two seeds have different teams.
        teams: live teams; with `players` given, as many as needed.
        players: members of all live teams together; None: 5 to 15 per team.
        team_minutes: a team lives between this and twice this.
        zipf: exponent of the players' activity; 0: all alike.
    """

    rng: random.Random
    id_offset: int
    teams: int
    players: int | None = None
    team_minutes: float = 20.0
    zipf: float = 0.0
    live: list[Team] = field(default_factory=list, init=False)
    _sizes: list[int] = field(default_factory=list, init=False)
    _first_place: list[int] = field(default_factory=list, init=False)
    _weights: list[float] | None = field(default=None, init=False)
    _serial: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.players is not None:
            fewest, most = math.ceil(self.players / MAX_MEMBERS), max(1, self.players // MIN_MEMBERS)
            self.teams = min(max(self.teams, fewest), most) if self.teams else max(1, self.players // 10)
        self._sizes = self._team_sizes()
        self._first_place = [0, *accumulate(self._sizes)][:-1]
        places = sum(self._sizes)
        if self.zipf > 0:
            # A random place is the busiest, else the first team would hold all the busy players.
            order = list(range(places))
            self.rng.shuffle(order)
            self._weights = list(accumulate((rank + 1) ** -self.zipf for rank in order))
        for slot in range(self.teams):
            self.live.append(self._new_team(slot, now_ms=0))

    def pick(self, now_ms: int) -> tuple[Team, str]:
        """A team and one of its players (or its robot) at `now_ms`; replaces an expired team."""
        place = self._place()
        slot = bisect_right(self._first_place, place) - 1
        team = self.live[slot]
        if team.ends_ms <= now_ms:
            team = self.live[slot] = self._new_team(slot, now_ms)
        if team.robot is not None and self.rng.random() * (len(team.members) // 2 + 1) < 1:
            return team, team.robot
        return team, team.members[place - self._first_place[slot]]

    def _place(self) -> int:
        if self._weights is None:
            return int(self.rng.random() * (self._first_place[-1] + self._sizes[-1]))
        return min(bisect_right(self._weights, self.rng.random() * self._weights[-1]), len(self._weights) - 1)

    def _team_sizes(self) -> list[int]:
        if self.players is None:
            return [MIN_MEMBERS + int(self.rng.random() * (MAX_MEMBERS - MIN_MEMBERS + 1)) for _ in range(self.teams)]
        share, rest = divmod(self.players, self.teams)
        return [share + (1 if slot < rest else 0) for slot in range(self.teams)]

    def _new_team(self, slot: int, now_ms: int) -> Team:
        # Multiplying by an odd constant modulo 2^32 never gives two serials the same id.
        number = (self._serial * 2654435761 + self.id_offset) % 2**32
        self._serial += 1
        team_id = f"{number:010d}"
        size = self._sizes[slot]
        digits = len(str(max(size - 1, 10)))
        robot = f"RBT-0-{team_id}" if self.rng.random() < ROBOT_SHARE else None
        lifetime = self.team_minutes * 60_000 * (1 + self.rng.random())
        return Team(
            team_id=team_id,
            team_name=self._name(slot),
            members=tuple(f"USR-{member:0{digits}d}-{team_id}" for member in range(size)),
            robot=robot,
            ends_ms=now_ms + int(lifetime),
        )

    def _name(self, slot: int) -> str:
        others = len(self.live)
        # The second team always takes the first one's name, so that even a short run has a shared name.
        if others and (self._serial == 2 or self.rng.random() < SAME_NAME_SHARE):
            other = int(self.rng.random() * others) if self._serial != 2 else 0
            if other != slot:
                return self.live[other].team_name
        region, colour, animal = (words[int(self.rng.random() * len(words))] for words in (REGIONS, COLOURS, ANIMALS))
        return f"{region}-{colour}{animal}"

"""A made-up log of SSH servers, labelled line by line: which tries a line adds, and which rules it must set off.

The labels follow from the episodes that the lines belong to, not from any evaluator. Each episode has a source of its
own, so that the expected outcome does not depend on how episodes interleave. Addresses are from networks for
documentation, users are made up.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

INVALID, BRUTE, BREAK_IN = "ssh_invalid_user", "ssh_brute_force", "ssh_success_after_failures"
HOSTS: Final = ("gate-1", "gate-2", "build.example")
USERS: Final = ("root", "deploy", "backup", "operator")
UNKNOWN_USERS: Final = ("admin", "test", "oracle", "ubuntu", "pi", "a b", "")
VICTIM: Final = "10.66.66.66"
"""Named in user names of attackers alone: nobody may ever accuse it."""
FRAMES: Final = (
    f"root from {VICTIM}",
    f"root from {VICTIM} port 22",
    f"root from {VICTIM} port 22 ssh2",
    f"x rhost={VICTIM}",
    f"x rhost={VICTIM}  user=root",
    f"root from {VICTIM} port 22 ssh2: RSA SHA256:abc",
    f"message repeated 9 times: [ Failed password for root from {VICTIM} port 22 ssh2]",
)


class LogOptions(BaseModel):
    """The simulated log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 1
    start_ms: int = Field(ge=0, description="Time of the first line, milliseconds since 1970 UTC.")
    lines: int = Field(default=1000, ge=1, description="Stop after so many lines.")


@dataclass(frozen=True)
class LabelledLine:
    """A line and what must come of it.

    Attributes:
        text: the line, without a line end.
        millis: its time, whole seconds.
        host: the machine that wrote it.
        source: address of the try; None: the line is about none.
        failed: failed tries that it adds.
        succeeded: logins that it reports.
        rules: names of the rules that it sets off, by name.
    """

    text: str
    millis: int
    host: str
    source: str | None = None
    failed: int = 0
    succeeded: int = 0
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Said:
    """A message of an episode, before it has a header."""

    after: int  # seconds since the begin of the episode
    message: str
    failed: int = 0
    succeeded: int = 0
    rules: tuple[str, ...] = ()
    about: bool = True  # about a try
    connection: int = 0


Episode = Callable[[random.Random, str], list[_Said]]


def labelled_lines(options: LogOptions) -> Iterator[LabelledLine]:
    """Lines in the order of their times; the same options give the same lines."""
    chance = random.Random(options.seed)  # noqa: S311 - a simulation, not a secret
    begin = options.start_ms // 1000
    waiting: list[tuple[int, int, LabelledLine]] = []
    order = episode = made = 0
    while made < options.lines:
        begin += chance.randrange(1, 20)
        while waiting and waiting[0][0] < begin and made < options.lines:
            yield heapq.heappop(waiting)[2]
            made += 1
        for line in _episode(chance, episode, begin):
            heapq.heappush(waiting, (line.millis // 1000, order, line))
            order += 1
        episode += 1


def _episode(chance: random.Random, number: int, begin: int) -> Iterator[LabelledLine]:
    # the first of them have each kind once, whatever the chance
    play = EPISODES[number] if number < len(EPISODES) else chance.choice(EPISODES)
    source = _source(number)
    host = chance.choice(HOSTS)
    program = chance.choice(("sshd", "sshd-session"))
    iso = host == HOSTS[2]
    first_pid = 1000 + number * 100
    for said in play(chance, source):
        at = datetime.fromtimestamp(begin + said.after, UTC)
        time = at.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00") if iso else f"{at:%b} {at.day:>2} {at:%H:%M:%S}"
        tag = "" if said.message.startswith("\t") else f"{program}[{first_pid + said.connection}]: "
        yield LabelledLine(
            text=f"{time} {host} {tag}{said.message.strip()}",
            millis=(begin + said.after) * 1000,
            host=host,
            source=source if said.about else None,
            failed=said.failed,
            succeeded=said.succeeded,
            rules=said.rules,
        )


def _source(number: int) -> str:
    """Addresses of networks for documentation and for tests: one for each episode."""
    if number % 5 == 4:
        return (
            f"2001:db8:{number // 65_536:x}::{number % 65_536:x}" if number < 65_536 else f"2001:db8::{number:x}"[:39]
        )
    return f"198.{18 + number // 65_536 % 2}.{number // 256 % 256}.{number % 256}"


def _failed(user: str, source: str, invalid: str = "") -> str:
    return f"Failed password for {invalid}{user} from {source} port 40022 ssh2"


def _pam(source: str, user: str = "") -> str:
    named = f" user={user}" if user else ""
    return f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={source} {named}"


def _accepted(user: str, source: str, method: str = "password") -> str:
    key = ": ED25519 SHA256:2vJ0yq5Yx8Zr0f1oN9n0cQ5uQm7dR3sT6wV1xY2zA4B" if method == "publickey" else ""
    return f"Accepted {method} for {user} from {source} port 40022 ssh2{key}"


def _logins(chance: random.Random, source: str) -> list[_Said]:
    user = chance.choice(USERS)
    return [
        _Said(at * 3, _accepted(user, source, chance.choice(("password", "publickey"))), succeeded=1, connection=at)
        for at in range(3)
    ]


def _mistyped(chance: random.Random, source: str) -> list[_Said]:
    user = chance.choice(USERS)
    told: list[_Said] = []
    for at in range(chance.choice((1, 2))):
        told += [_Said(at * 5, _pam(source, user), failed=1), _Said(at * 5 + 2, _failed(user, source))]
    return [*told, _Said(12, _accepted(user, source), succeeded=1)]


def _slow(chance: random.Random, source: str) -> list[_Said]:
    """Five tries within 121 seconds, and nobody gets in."""
    times = (0, 31, 62, 93, 121)
    return [_Said(at, _failed("root", source), failed=1, connection=place) for place, at in enumerate(times)]


def _four(chance: random.Random, source: str) -> list[_Said]:
    """Four tries of which sshd and PAM both tell."""
    told: list[_Said] = []
    for at in range(4):
        told += [_Said(at * 2, _failed("backup", source), failed=1), _Said(at * 2, _pam(source, "backup"))]
    return told


def _edge(chance: random.Random, source: str) -> list[_Said]:
    """Five tries within 120 seconds exactly."""
    times = (0, 30, 60, 90, 120)
    return [
        _Said(at, _failed("root", source), failed=1, connection=place, rules=(BRUTE,) if place == 4 else ())
        for place, at in enumerate(times)
    ]


def _scan(chance: random.Random, source: str) -> list[_Said]:
    """Users that do not exist, one after the other."""
    told: list[_Said] = []
    for place in range(4):
        user = chance.choice(UNKNOWN_USERS)
        at = place * 70
        told += [
            _Said(at, f"Invalid user {user} from {source} port 40022", 1, 0, (INVALID,), connection=place),
            _Said(at, "pam_unix(sshd:auth): check pass; user unknown", about=False, connection=place),
            _Said(at, _pam(source), connection=place),
            _Said(at + 1, f"Failed none for invalid user {user} from {source} port 40022 ssh2", about=False,
                  connection=place),
            _Said(at + 1, _failed(user, source, "invalid user "), connection=place),
            _Said(at + 2, f"Connection closed by invalid user {user} {source} port 40022 [preauth]", about=False,
                  connection=place),
        ]  # fmt: skip
    return told


def _brute(chance: random.Random, source: str) -> list[_Said]:
    told: list[_Said] = []
    for place in range(chance.randrange(5, 12)):
        rules = (BRUTE,) if place >= 4 else ()
        told += [
            _Said(place * 3, _pam(source, "root"), failed=1, rules=rules, connection=place // 3),
            _Said(place * 3 + 1, _failed("root", source), connection=place // 3),
        ]
    return told


def _repeated(chance: random.Random, source: str) -> list[_Said]:
    """One line of sshd that counts six, and PAM's summary of the same."""
    return [
        _Said(0, _pam(source, "root"), failed=1),
        _Said(2, _failed("root", source)),
        _Said(9, f"message repeated 5 times: [ {_failed('root', source)}]", failed=5, rules=(BRUTE,)),
        _Said(10, "error: maximum authentication attempts exceeded for root from "
                  f"{source} port 40022 ssh2 [preauth]", about=False),
        _Said(10, "PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= "
                  f"rhost={source}  user=root"),
    ]  # fmt: skip


def _break_in(chance: random.Random, source: str) -> list[_Said]:
    told = [_Said(at * 40, _failed("deploy", source), failed=1, connection=at) for at in range(4)]
    return [*told, _Said(200, _accepted("deploy", source), succeeded=1, rules=(BREAK_IN,), connection=5)]


def _late_login(chance: random.Random, source: str) -> list[_Said]:
    """A login more than ten minutes after the last of the failures."""
    told = [_Said(at * 40, _failed("deploy", source), failed=1, connection=at) for at in range(3)]
    return [*told, _Said(681, _accepted("deploy", source), succeeded=1, connection=5)]


def _framing(chance: random.Random, source: str) -> list[_Said]:
    """User names that look like the end of a line."""
    told: list[_Said] = []
    for place, user in enumerate(FRAMES):
        at = place * 130  # too slow for a brute force
        told += [
            _Said(at, f"Invalid user {user} from {source} port 40022", 1, 0, (INVALID,), connection=place),
            _Said(at, _failed(user, source, "invalid user "), connection=place),
            _Said(at, _pam(source, user), connection=place),
        ]
    return told


def _noise(chance: random.Random, source: str) -> list[_Said]:
    """Lines that accuse nobody, whatever they quote."""
    return [
        _Said(0, "Server listening on 0.0.0.0 port 22.", about=False),
        _Said(1, f"\tCRON[77]: (root) CMD (echo Failed password for root from {VICTIM} port 22 ssh2)", about=False),
        _Said(2, f"\tgame-api[88]: Invalid user name from {VICTIM}", about=False),
        _Said(3, f"\tkernel: [12.5] Failed password for root from {VICTIM} port 22 ssh2", about=False),
        _Said(4, f"Connection closed by authenticating user root {source} port 40022 [preauth]", about=False),
        _Said(5, f"Received disconnect from {source} port 40022:11: bye from {VICTIM} port 22", about=False),
    ]


EPISODES: Final[tuple[Episode, ...]] = (
    _logins, _mistyped, _slow, _four, _edge, _scan, _brute, _repeated, _break_in, _late_login, _framing, _noise,
)  # fmt: skip

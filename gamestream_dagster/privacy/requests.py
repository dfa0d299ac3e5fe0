"""The requests: one row each, written before anything is done, so that a killed erase is known and goes on."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.privacy.errors import ErasureError
from gamestream_dagster.privacy.player import player_of
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import erase_requests

_LOCK: Final = 7_201_620  # of our advisory locks
API: Final = "api:"
"""How `requested_by` begins where a request came over HTTP; the app of the key follows."""


class State(StrEnum):
    """The progress of a request."""

    OPEN = "OPEN"  # written; the erase has begun or will
    FINISHED = "FINISHED"  # every step is done, and the certificate is made
    EXPORT = "EXPORT"  # asks for an export alone; nothing is erased


@dataclass(frozen=True)
class Request:
    """One request. `player` is None as soon as the erase is finished."""

    number: int
    subject: str
    state: State
    requested_at: datetime
    requested_by: str
    player: str | None = field(default=None, repr=False)
    suppressed_at: datetime | None = None
    finished_at: datetime | None = None
    plan: tuple[Mapping[str, Any], ...] | None = ()
    """What every place held; None: no store was scanned yet."""
    steps: Mapping[str, Any] = field(default_factory=dict[str, Any])
    certificate: Mapping[str, Any] | None = None


class Requests:
    """The table of requests. Methods raise `ServiceError` where Postgres does not answer.

    Args:
        engine: of the stack's Postgres.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def all(self) -> list[Request]:
        """Every request, oldest first."""
        with self._engine.connect() as link:
            rows = link.execute(sa.select(erase_requests).order_by(erase_requests.c.request))
            return [_request(row) for row in rows]

    def numbered(self, number: int) -> Request:
        """A request.

        Raises:
            ErasureError: there is none of that number.
        """
        found = self.find(number)
        if found is None:
            raise ErasureError(f"There is no request {number}", "list them with `gamestream player requests`")
        return found

    def find(self, number: int) -> Request | None:
        """A request; None: there is none of that number."""
        with self._engine.connect() as link:
            return _first(link, erase_requests.c.request == number)

    def open_of(self, subject: str) -> Request | None:
        """The open request to erase a player."""
        with self._engine.connect() as link:
            return _first(link, _open_of(subject))

    def open_from_api(self) -> list[int]:
        """Numbers of the open requests that came over HTTP, oldest first."""
        mine = erase_requests.c.requested_by.startswith(API, autoescape=True)
        query = sa.select(erase_requests.c.request).where(mine, erase_requests.c.state == State.OPEN.value)
        with self._engine.connect() as link:
            return list(link.scalars(query.order_by(erase_requests.c.request)))

    def write(
        self,
        subject: str,
        player: str,
        plan: tuple[Mapping[str, Any], ...] | None,
        state: State,
        by: str | None = None,
    ) -> Request:
        """Write a request under the next number; where the player's erase is requested already, give that request.

        Args:
            subject: keyed hash of the player.
            player: the id.
            plan: what every place holds; None: the erase scans the stores first.
            state: of the request.
            by: who asks; default: the account that runs this.
        """
        at, by = datetime.now(UTC), by or _account()
        with self._engine.begin() as link:
            link.execute(sa.text("LOCK TABLE erase_requests IN EXCLUSIVE MODE"))
            if state is State.OPEN and (known := _first(link, _open_of(subject))) is not None:
                return known
            number = link.execute(
                sa.select(sa.func.coalesce(sa.func.max(erase_requests.c.request), 0) + 1)
            ).scalar_one()
            values = {"request": number, "subject": subject, "player": player, "state": state.value}
            values |= {"requested_at": at, "requested_by": by, "steps": {}}
            values["plan"] = sa.JSON.NULL if plan is None else list(plan)
            link.execute(sa.insert(erase_requests).values(values))
        return Request(number, subject, state, at, by, player, plan=plan)

    def change(self, number: int, **values: Any) -> None:
        """Set columns of a request."""
        with self._engine.begin() as link:
            link.execute(sa.update(erase_requests).where(erase_requests.c.request == number).values(**values))

    def forget(self, subject: str) -> None:
        """Drop the id of a player from every request."""
        with self._engine.begin() as link:
            link.execute(sa.update(erase_requests).where(erase_requests.c.subject == subject).values(player=None))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else erase meanwhile.

        Raises:
            ErasureError: somebody does.
        """
        with self._engine.connect() as link:
            got = link.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one()
            link.rollback()
            if not got:
                raise ErasureError("Another erase is running on this stack", "wait for it, then run the command again")
            try:
                yield
            finally:
                link.invalidate()  # ends the session, and with it the lock


@contextmanager
def open_requests(settings: Settings) -> Iterator[Requests]:
    """The requests of a stack.

    Raises:
        ErasureError: the table is not made yet.
    """
    with open_engine(settings) as engine:
        yield requests_of(engine)


def requests_of(engine: sa.Engine) -> Requests:
    """The requests of a Postgres.

    Raises:
        ErasureError: the table is not made yet.
    """
    if not sa.inspect(engine).has_table(erase_requests.name):
        raise ErasureError("Postgres has no table of requests", "create it with `gamestream apply`")
    return Requests(engine)


def request_export(settings: Settings, user_id: str) -> Request:
    """Write a request that only exports a player, for a Dagster run to name.

    Raises:
        PrivacyError: it is no id, or the table is not made yet.
    """
    player = player_of(settings, user_id)
    with open_requests(settings) as requests:
        return requests.write(player.subject, user_id, (), State.EXPORT)


def ask_erase(settings: Settings, requests: Requests, user_id: str, by: str) -> Request:
    """Write the request to erase a player, and scan nothing: the erase does first. An open one is returned as it is.

    Args:
        settings: the stack.
        requests: its table of requests.
        user_id: the player.
        by: who asks, as `requested_by` names it.

    Raises:
        PrivacyError: it is no id.
        SuppressionError: the key of this stack is gone.
    """
    player = player_of(settings, user_id)
    return requests.write(player.subject, user_id, None, State.OPEN, by)


def player_of_request(settings: Settings, number: int) -> str:
    """The player of a request that is not finished.

    Raises:
        ErasureError: there is none of that number, or its player was erased.
    """
    with open_requests(settings) as requests:
        found = requests.numbered(number)
    if found.player is None:
        raise ErasureError(
            f"The player of request {number} was erased", "write a new request to export what came since"
        )
    return found.player


def _open_of(subject: str) -> sa.ColumnElement[bool]:
    return sa.and_(erase_requests.c.subject == subject, erase_requests.c.state == State.OPEN.value)


def _first(link: sa.Connection, where: sa.ColumnElement[bool]) -> Request | None:
    row = link.execute(sa.select(erase_requests).where(where).order_by(erase_requests.c.request)).first()
    return None if row is None else _request(row)


def _request(row: sa.Row[Any]) -> Request:
    return Request(
        number=row.request,
        subject=row.subject,
        state=State(row.state),
        requested_at=row.requested_at,
        requested_by=row.requested_by,
        player=row.player,
        suppressed_at=row.suppressed_at,
        finished_at=row.finished_at,
        plan=None if row.plan is None else tuple(row.plan),
        steps=row.steps,
        certificate=row.certificate,
    )


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"

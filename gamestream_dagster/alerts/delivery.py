"""Sends the messages of the outbox with apprise. Addresses are secrets: they come from the environment and are never
logged, stored or part of an error.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Engine, text

from gamestream_dagster.alerts import messages
from gamestream_dagster.alerts.messages import Waiting
from gamestream_dagster.alerts.rules import Book, Route
from gamestream_dagster.alerts.store import Change, Severity

MOST_SINGLE: Final = 10
"""Waiting messages of a route that are sent one by one; more become one message."""
MOST_CLAIMED: Final = 200
MOST_ATTEMPTS: Final = 6
"""After so many a message no longer holds back those behind it."""
BUDGET_SECONDS: Final = 15.0
_LOCK_KEY: Final = 7_201_620
_MOST_EVIDENCE: Final = 12
_HTTP_STATUS: Final = re.compile(r"error=(\d{3})\b")
_VERB: Final = {Change.RAISED: "FIRING", Change.CLEARED: "RESOLVED", Change.BLIND: "NO DATA"}


@dataclass(frozen=True)
class Letter:
    """What one message says; plain text."""

    title: str
    body: str
    change: Change
    severity: Severity


class Sender(Protocol):
    """Sends letters to one address."""

    def send(self, letter: Letter) -> str | None:
        """None when it arrived, else why not, without the address."""
        ...


@dataclass(frozen=True)
class Delivered:
    """What one round did."""

    sent: int = 0
    failed: tuple[str, ...] = ()
    """A sentence for each route that failed."""
    expired: int = 0
    busy: bool = False
    """Another process is sending."""


def addresses(book: Book, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The address of each route that has one."""
    found = {route.name: environment.get(route.address_in, "").strip() for route in book.routes}
    return {name: address for name, address in found.items() if address}


def deliver(
    engine: Engine,
    book: Book,
    link: str,
    *,
    environment: Mapping[str, str] = os.environ,
    open_sender: Callable[[str], Sender] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Delivered:
    """Send what is due, route by route, oldest first, for at most 15 s.

    Args:
        engine: of the database.
        book: the routes.
        link: address of the page with the alerts, for people.
        environment: with the addresses.
        open_sender: makes the sender of an address.
        clock: of the time limit, seconds.
    """
    until = clock() + BUDGET_SECONDS
    known = addresses(book, environment)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock:
        if not lock.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK_KEY}):
            return Delivered(busy=True)
        try:
            with engine.begin() as connection:
                expired = messages.expire(connection)
            count, wrong = 0, list[str]()
            for route in book.routes:
                if route.name not in known or clock() >= until:
                    continue
                sender = (open_sender or AppriseSender)(known[route.name])
                arrived, error = _of_route(engine, route, sender, link, lambda: clock() >= until)
                count += arrived
                wrong += [f"route {route.name}: {error}"] if error else []
            return Delivered(count, tuple(wrong), expired)
        finally:
            lock.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})


def _of_route(
    engine: Engine, route: Route, sender: Sender, link: str, is_over: Callable[[], bool]
) -> tuple[int, str | None]:
    with engine.begin() as connection:
        due = messages.claim(connection, route, MOST_CLAIMED)
    # what a service refuses again and again may be the message itself: the next try is another text
    together = len(due) > MOST_SINGLE or (len(due) > 1 and due[0].attempts >= MOST_ATTEMPTS)
    parcels: list[Sequence[Waiting]] = [due] if together else [[one] for one in due]
    count = 0
    for parcel in parcels:
        if is_over():
            break
        error = sender.send(letter(parcel[0], link) if len(parcel) == 1 else digest(parcel, link))
        with engine.begin() as connection:
            if error is not None:
                messages.failed(connection, parcel[0], error)
                return count, error
            messages.sent(connection, [one.message_id for one in parcel])
        count += len(parcel)
    return count, None


def letter(message: Waiting, link: str) -> Letter:
    """One message as text: what, how bad, the evidence, what to do."""
    details = message.details
    lines = [message.summary, ""]
    if "value" in details:
        lines.append(f"value      {details['value']}")
    if "condition" in details:
        lines.append(f"condition  {details['condition']}")
    if "no_data" in details:
        lines.append(f"no data    {details['no_data']}")
    lines += [f"evidence   {one}" for one in evidence_lines(details.get("evidence") or _others(details))]
    lines.append(f"since      {message.created_at:%Y-%m-%d %H:%M:%S} UTC")
    if "runbook" in details:
        lines.append(f"runbook    {details['runbook']}")
    lines.append(f"look       {link}  |  gamestream alerts list")
    title = _one_line(f"{_VERB[message.change]} {message.severity.value}: {message.alert_id}")
    return Letter(title, "\n".join(lines), message.change, message.severity)


def digest(parcel: Sequence[Waiting], link: str) -> Letter:
    """Many messages as one: a route that was down, or a storm, must not become a flood."""
    worst = min(parcel, key=lambda one: list(Severity)[::-1].index(one.severity))
    lines = [
        _one_line(f"{one.created_at:%H:%M:%S} {_VERB[one.change]} {one.severity.value}: {one.alert_id}: {one.summary}")
        for one in parcel[:50]
    ]
    lines += [f"and {len(parcel) - 50} more"] if len(parcel) > 50 else []
    lines += ["", f"look       {link}  |  gamestream alerts list"]
    return Letter(f"{len(parcel)} messages about alerts", "\n".join(lines), worst.change, worst.severity)


def evidence_lines(evidence: Mapping[str, Any]) -> list[str]:
    """Facts, one a line, of the first dozen series."""
    lines: list[str] = []
    for name, facts in list(evidence.items())[:_MOST_EVIDENCE]:
        inner = facts.items() if isinstance(facts, Mapping) else [("", facts)]
        told = ", ".join(f"{key} {value}" if key else str(value) for key, value in inner)
        lines.append(_one_line(f"{name}: {told}")[:500])
    return lines


def _one_line(text: str) -> str:
    """Without control characters: a name that came with an event must not add lines or headers."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _others(details: Mapping[str, Any]) -> dict[str, Any]:
    known = {"condition", "labels", "value", "runbook", "evidence", "no_data"}
    return {name: value for name, value in details.items() if name not in known and value not in (None, "", [], {})}


class AppriseSender:
    """One address of apprise.

    Args:
        address: such as `json://host/path`; a secret.
    """

    def __init__(self, address: str) -> None:
        import apprise

        # both log addresses with their tokens at lower levels
        for name in ("apprise", "urllib3", "requests_oauthlib", "oauthlib"):
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("apprise").propagate = False
        self._types = {
            Change.CLEARED: apprise.NotifyType.SUCCESS,
            Severity.CRITICAL: apprise.NotifyType.FAILURE,
            Severity.HIGH: apprise.NotifyType.FAILURE,
            Severity.WARNING: apprise.NotifyType.WARNING,
        }
        self._service = apprise.Apprise()
        self._usable = len(address.split()) == 1 and self._service.add(address)

    def send(self, letter: Letter) -> str | None:
        """None when it arrived, else why not, without the address."""
        if not self._usable:
            return "the address is none of apprise's; give the variable of the route one address such as json://host"
        heard = _Statuses()
        logger = logging.getLogger("apprise")
        logger.addHandler(heard)
        try:
            kind = self._types.get(letter.change) or self._types[letter.severity]
            arrived = self._service.notify(title=letter.title, body=letter.body, notify_type=kind)
        except Exception as error:  # noqa: BLE001 - a plugin's error may quote the address
            return f"apprise failed with {type(error).__name__}; see that the service of the address answers"
        finally:
            logger.removeHandler(heard)
        if arrived:
            return None
        answered = f" (HTTP {heard.status})" if heard.status else ""
        return f"the service of the address did not take the message{answered}; see that it answers"


class _Statuses(logging.Handler):
    """Hears the HTTP status of apprise's own messages, and lets nothing else pass."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.status = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status."""
        found = _HTTP_STATUS.search(record.getMessage())
        self.status = found[1] if found else self.status

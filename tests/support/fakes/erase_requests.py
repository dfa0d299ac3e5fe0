"""The table of requests to erase players, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from gamestream_dagster.privacy.requests import API, Request, State


@dataclass
class MemoryRequests:
    """The table of requests."""

    rows: dict[int, Request] = field(default_factory=dict)

    def all(self) -> list[Request]:
        return list(self.rows.values())

    def numbered(self, number: int) -> Request:
        return self.rows[number]

    def open_of(self, subject: str) -> Request | None:
        return next((one for one in self.all() if one.subject == subject and one.state is State.OPEN), None)

    def find(self, number: int) -> Request | None:
        return self.rows.get(number)

    def open_from_api(self) -> list[int]:
        return [one.number for one in self.all() if one.state is State.OPEN and one.requested_by.startswith(API)]

    def write(self, subject: str, player: str, plan: Any, state: State, by: str | None = None) -> Request:
        if state is State.OPEN and (known := self.open_of(subject)) is not None:
            return known
        number = len(self.rows) + 1
        self.rows[number] = Request(number, subject, state, datetime.now(UTC), by or "me", player, plan=plan)
        return self.rows[number]

    def change(self, number: int, **values: Any) -> None:
        values = {name: State(value) if name == "state" else value for name, value in values.items()}
        self.rows[number] = replace(self.rows[number], **values)

    def forget(self, subject: str) -> None:
        for one in self.all():
            if one.subject == subject:
                self.change(one.number, player=None)

    @contextmanager
    def alone(self) -> Iterator[None]:
        yield

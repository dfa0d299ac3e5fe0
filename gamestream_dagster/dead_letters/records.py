"""A refused record as a JSON document whose fields are found as the judge finds them."""

from __future__ import annotations

import copy
from typing import Any, Final

from gamestream_dagster.catalogue.game_event import GameCatalogue
from gamestream_dagster.dead_letters.errors import NoValueError
from gamestream_dagster.dead_letters.letter import DeadLetter
from gamestream_dagster.events.strict_json import Json

PROPERTIES: Final = "properties"
_SOURCE: Final = {("source", "partition"), ("source", "offset"), ("source", "time")}

Path = tuple[str, ...]


class Record:
    """A copy of a document that fixes change.

    Paths are those that the judge reports: `user_id`, `properties.score`. They also find a field that was sent under
    another name of the catalogue (`player_id`), and a property of a flat event at the top level.
    """

    def __init__(self, catalogue: GameCatalogue, document: dict[str, Json], letter: DeadLetter) -> None:
        self.document = copy.deepcopy(document)
        self._catalogue = catalogue
        self._letter = letter

    def get(self, path: Path) -> Any:
        """The value; None where there is none. `source.partition`, `.offset` and `.time` are those of the letter."""
        if path in _SOURCE:
            letter = self._letter
            return {"time": letter.source_time, **letter.source._asdict()}[path[1]]
        holder, name = self._holder(path)
        return None if holder is None else holder.get(name)

    def put(self, path: Path, value: Any) -> None:
        """Write a value; objects on the way are made.

        Raises:
            NoValueError: something on the way is no object.
        """
        holder, name = self._holder(path, make=True)
        if holder is not None:
            holder[name] = value

    def drop(self, path: Path) -> Any:
        """Remove a field; returns its value, None where there is none."""
        holder, name = self._holder(path)
        return None if holder is None else holder.pop(name, None)

    def _holder(self, path: Path, *, make: bool = False) -> tuple[dict[str, Any] | None, str]:
        """The object that has the last name of a path, and the name that it has there."""
        holder: Any = self.document
        *way, last = path
        if path[0] == PROPERTIES and len(path) > 1:
            found = self._sent_as(self.document, PROPERTIES, self._catalogue.fields[PROPERTIES].synonyms)
            if self.document.get(found) is None:
                way = way[1:]  # a flat event
            else:
                way[0] = found
        for name in way:
            inner = holder.get(name)
            if inner is None and make:
                inner = holder[name] = {}
            if inner is None:
                return None, last
            if not isinstance(inner, dict):
                raise NoValueError(f"{name} of {'.'.join(path)} is not an object", "name another field")
            holder = inner
        return holder, self._sent_as(holder, last, self._synonyms(path))

    def _synonyms(self, path: Path) -> tuple[str, ...]:
        if len(path) == 1:
            field = self._catalogue.fields.get(path[0])
            return field.synonyms if field else ()
        if len(path) == 2 and path[0] == PROPERTIES:
            sent = str(self.get(("event_type",)))
            kind = next((one for one in self._catalogue.types.values() if sent in one.names), None)
            field = kind.properties.get(path[1]) if kind else None
            return field.synonyms if field else ()
        return ()

    @staticmethod
    def _sent_as(holder: dict[str, Any], name: str, synonyms: tuple[str, ...]) -> str:
        """The first of the names with a value; the name itself where none has one."""
        return next((one for one in (name, *synonyms) if holder.get(one) is not None), name)

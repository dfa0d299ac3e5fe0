"""Category and tier of device models, by the longest prefix of a declared rule.

The file is JSON: `version`, `licence`, `source`, `makers` (names that some systems put before the model) and `rules`,
each with `category`, `tier` and `prefixes`. Case does not matter, of ASCII letters alone. `DeviceTable.java` reads the
same file.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gamestream_dagster.enrichment.errors import TableError

_REMEMBERED: Final = 4096
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Device(NamedTuple):
    """What is known about a device model."""

    category: str = "unknown"  # phone, tablet, desktop, console, tv, unknown
    tier: str = "unknown"  # low, mid, high, unknown


UNKNOWN_DEVICE: Final = Device()


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    category: Literal["phone", "tablet", "desktop", "console", "tv", "unknown"]
    tier: Literal["low", "mid", "high", "unknown"]
    prefixes: tuple[str, ...] = Field(min_length=1)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    licence: str
    source: str
    makers: tuple[str, ...]
    rules: tuple[_Rule, ...] = Field(min_length=1)


class DeviceTable:
    """The table in a file; safe to share between threads.

    Raises:
        TableError: the file is not such a table.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._document = _Document.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise _unusable(path, " ".join(str(error).split())[:200]) from error
        self._devices = _by_prefix(path, self._document.rules)
        self._longest = max(map(len, self._devices))
        self._makers = tuple(f"{maker.translate(_LOWER)} " for maker in self._document.makers)
        self._look_up = lru_cache(_REMEMBERED)(self._find)

    @property
    def version(self) -> str:
        """Source and date of the rules, such as `gamestream-2026-11-26`."""
        return self._document.version

    @property
    def facts(self) -> dict[str, Any]:
        """Version, licence, source and number of prefixes."""
        return self._document.model_dump(include={"version", "licence", "source"}) | {"prefixes": len(self._devices)}

    def device_of(self, model: str | None) -> Device:
        """Category and tier of a model as its system names it; unknown where no rule fits."""
        return UNKNOWN_DEVICE if model is None else self._look_up(model)

    def _find(self, model: str) -> Device:
        name = model.strip(" ").translate(_LOWER)
        found = self._longest_match(name)
        if found is None:
            maker = next((maker for maker in self._makers if name.startswith(maker)), "")
            found = self._longest_match(name[len(maker) :].lstrip(" "))
        return found or UNKNOWN_DEVICE

    def _longest_match(self, name: str) -> Device | None:
        for length in range(min(len(name), self._longest), 0, -1):
            found = self._devices.get(name[:length])
            if found is not None:
                return found
        return None


def _by_prefix(path: Path, rules: tuple[_Rule, ...]) -> Mapping[str, Device]:
    found: dict[str, Device] = {}
    for rule in rules:
        for prefix in rule.prefixes:
            name = prefix.translate(_LOWER)
            if not name or not name.isascii() or name in found:
                raise _unusable(path, f"the prefix {prefix!r} is empty, not ASCII, or there twice")
            found[name] = Device(rule.category, rule.tier)
    return found


def _unusable(path: Path, reason: str) -> TableError:
    return TableError(f"{path} is no device table: {reason}", "mend the file, or restore the installed package")

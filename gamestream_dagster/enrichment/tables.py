"""The tables of a stack: the packaged ones, or newer ones in its folder, seen without a restart."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from gamestream_dagster.enrichment.device_table import Device, DeviceTable
from gamestream_dagster.enrichment.errors import TableError
from gamestream_dagster.enrichment.geo_table import GeoTable

PACKAGED: Final = Path(__file__).parent / "data"
GEO_FILE: Final = "geo.bin"
DEVICE_FILE: Final = "devices.json"
LOOK_SECONDS: Final = 10.0
"""A published table is used after at most so long. `Tables.java` has the same figure."""
DATED: Final = re.compile(r"\d{4}-\d\d-\d\d$")
"""How a version ends: with the day of the data."""

log = logging.getLogger(__name__)


class Table(Protocol):
    """What both tables have."""

    @property
    def version(self) -> str:
        """A name that ends with the day of the data."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """What to show about it."""
        ...


T = TypeVar("T", bound=Table)
KINDS: Final[dict[str, Callable[[Path], Table]]] = {GEO_FILE: GeoTable, DEVICE_FILE: DeviceTable}


class _Watched(Generic[T]):
    """One table: that of the stack's folder while it can be used, else the packaged one."""

    def __init__(self, load: Callable[[Path], T], path: Path, clock: Callable[[], float]) -> None:
        self._load = load
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._table = load(PACKAGED / path.name)
        self._next = clock()

    def current(self) -> T:
        if self._clock() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next = self._clock() + LOOK_SECONDS
                self._lock.release()
        return self._table

    def _look(self) -> None:
        try:
            found = self._path.stat()
        except OSError:
            return  # not published: what is in use stays
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._table = self._load(self._path)
        except TableError as error:
            log.warning("%s; the table %s stays in use.", error.reason, self._table.version)


class Tables:
    """The tables in use, looked at again every ten seconds; safe to share between threads.

    Args:
        folder: where the stack's tables are published.
        clock: seconds that never go back.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._geo = _Watched(GeoTable, folder / GEO_FILE, clock)
        self._devices = _Watched(DeviceTable, folder / DEVICE_FILE, clock)

    @property
    def geo(self) -> GeoTable:
        """Countries of addresses."""
        return self._geo.current()

    @property
    def devices(self) -> DeviceTable:
        """Categories and tiers of devices."""
        return self._devices.current()

    def country_of(self, address: str) -> str:
        """The ISO code of an address, or `unknown`."""
        return self.geo.country_of(address)

    def device_of(self, model: str | None) -> Device:
        """Category and tier of a device model."""
        return self.devices.device_of(model)


def publish(folder: Path, name: str, source: Path = PACKAGED) -> Table:
    """Put a table into a stack's folder, unless a newer one is there; atomic. Of one version the given content wins.

    Args:
        folder: of the stack.
        name: `GEO_FILE` or `DEVICE_FILE`.
        source: folder with the new table.

    Returns:
        The table that is now in the folder.

    Raises:
        TableError: the new table cannot be used, or not be written.
    """
    new = KINDS[name](source / name)
    target = folder / name
    if target.exists():
        try:
            old = KINDS[name](target)
        except TableError as error:
            log.warning("%s; it is replaced.", error.reason)
        else:
            if _age(old) > _age(new) or target.read_bytes() == (source / name).read_bytes():
                return old
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(target, (source / name).read_bytes())
    except OSError as error:
        raise TableError(
            f"{target} cannot be written ({error.strerror})", "make room, or give yourself the right"
        ) from error
    return KINDS[name](target)


def publish_all(folder: Path) -> None:
    """Put both packaged tables into a stack's folder, unless newer ones are there.

    Raises:
        TableError: as `publish`.
    """
    for name in KINDS:
        publish(folder, name)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file at once: servers may read it at any moment."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(partial).chmod(0o644)
    Path(partial).replace(path)


def _age(table: Table) -> tuple[str, str]:
    found = DATED.search(table.version)
    return found.group() if found else "", table.version

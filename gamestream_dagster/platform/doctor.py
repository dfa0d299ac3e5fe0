"""Checks of the machine and the stack for `gamestream doctor`, a sentence each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gamestream_dagster.clients.dagster_daemons import second_daemon_told
from gamestream_dagster.platform import catalogue, jars, layout, memory, ports
from gamestream_dagster.platform.errors import JarError, PlatformError
from gamestream_dagster.platform.java import OLDEST_JAVA, java_home, java_version
from gamestream_dagster.platform.service import ServiceState, ServiceStatus
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.settings import Settings

DISK_GIB = 4  # jars, a day of events, checkpoints, archive
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOOPBACK = ("127.", "::1", "::ffff:127.")
SECRETS = ("postgres_password", "ingest_signing_secret", "valkey_password")


class CheckState(StrEnum):
    """Outcome of one check."""

    OK = "OK"  # as it should be
    WARN = "WARN"  # works, with a remark
    FAIL = "FAIL"  # must be fixed: something will not work, or is open to others


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    state: CheckState
    detail: str


@dataclass(frozen=True)
class SettingRow:
    """One setting, its value (secrets masked) and its origin."""

    name: str
    value: str
    origin: str


def examine(settings: Settings) -> list[Check]:
    """Run all checks, the machine's first."""
    status = Stack(settings).status()
    return [
        _python(),
        _java(),
        _memory(status),
        _disk(settings.home),
        *_jars(),
        _chromium(),
        *_ports(settings, status),
        *_services(status),
        *_open_addresses(settings),
        *_leftovers(settings),
        *_second_daemon(settings),
    ]


def setting_rows(settings: Settings) -> list[SettingRow]:
    """Every setting with its origin; for a secret only whether it is given."""
    rows = []
    for name in type(settings).model_fields:
        if name == "origins":
            continue
        value = getattr(settings, name)
        shown = ("given" if value.get_secret_value() else "the home's own") if name in SECRETS else str(value)
        rows.append(SettingRow(name, shown, settings.origin(name)))
    return rows


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Check("python", CheckState.OK, version)
    return Check("python", CheckState.FAIL, f"{version}: install Python 3.11, the one Flink's packages are built for")


def _java() -> Check:
    try:
        home = java_home()
    except PlatformError as error:
        return Check("java", CheckState.FAIL, str(error))
    version = java_version(home) or 0
    state = CheckState.OK if version >= OLDEST_JAVA else CheckState.FAIL
    return Check("java", state, f"{version} in {home}")


def _memory(status: list[ServiceStatus]) -> Check:
    known = catalogue.services()
    missing = sum(known[row.name].memory_mib for row in status if row.state == ServiceState.STOPPED)
    available = memory.available_mib()
    detail = f"{available} MiB free, {missing} MiB wanted by what is not running"
    if missing > available:
        return Check("memory", CheckState.FAIL, f"{detail}: close something, or start less with `--only`")
    return Check("memory", CheckState.OK, detail)


def _disk(home: Path) -> Check:
    existing = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    detail = f"{free:.1f} GiB free at {existing}"
    if free < DISK_GIB:
        return Check("disk", CheckState.WARN, f"{detail}: less than {DISK_GIB} GiB, free some or choose another --home")
    return Check("disk", CheckState.OK, detail)


def _jars() -> Iterator[Check]:
    wanted = jars.locked()
    present = [jar for jar in wanted if jar.path.exists()]
    try:
        jars.ensure(present)
    except JarError as error:
        yield Check("jars", CheckState.FAIL, str(error))
        return
    missing = len(wanted) - len(present)
    detail = f"{len(present)} of {len(wanted)} in {layout.cache_dir()}, each with the SHA-256 of the lock"
    yield Check("jars", CheckState.OK, detail + (f"; {missing} are fetched at the next start" if missing else ""))


def _chromium() -> Check:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found:
        return Check("chromium", CheckState.OK, found)
    return Check("chromium", CheckState.WARN, "not found: only the browser tests need it (Debian: package `chromium`)")


def _ports(settings: Settings, status: list[ServiceStatus]) -> Iterator[Check]:
    known = catalogue.services()
    ours = {process.pid for process in Supervisor(settings).processes()}
    for row in status:
        if row.state != ServiceState.STOPPED:
            continue
        for server in known[row.name].ports:
            port = settings.port(server)
            if not ports.is_free(port):
                owners = ports.listeners([port])
                if any(each.pid in ours for each in owners):
                    continue  # a leftover of this stack, reported as such
                owner = owners[0] if owners else "another process"
                yield Check(
                    f"port {port}",
                    CheckState.FAIL,
                    f"{row.name} wants it and {owner} has it: stop that, or use --port-base {ports.free_base()}",
                )


def _services(status: list[ServiceStatus]) -> Iterator[Check]:
    for row in status:
        if row.state in (ServiceState.STARTING, ServiceState.FAILED, ServiceState.UNREACHABLE):
            yield Check(row.name, CheckState.FAIL, f"{row.state}: {row.detail}")
        elif row.state != ServiceState.STOPPED:
            yield Check(row.name, CheckState.OK, f"{row.state} {row.link}")


def _open_addresses(settings: Settings) -> Iterator[Check]:
    """Every listener of this stack must be on a loopback address."""
    ours = {process.pid for process in Supervisor(settings).processes()}
    open_ones = [each for each in ports.listeners() if each.pid in ours and not each.address.startswith(LOOPBACK)]
    for each in open_ones:
        yield Check(f"address {each.port}", CheckState.FAIL, f"{each} listens on {each.address}, open to the network")
    if ours and not open_ones:
        yield Check("addresses", CheckState.OK, "every listener of this stack is on 127.0.0.1")


def _leftovers(settings: Settings) -> Iterator[Check]:
    supervisor = Supervisor(settings)
    if supervisor.running():
        return
    pids = [str(process.pid) for process in supervisor.processes()]
    if pids:
        yield Check("leftovers", CheckState.WARN, f"pids {', '.join(pids)} have no supervisor: run `gamestream down`")


def _second_daemon(settings: Settings) -> Iterator[Check]:
    if sentence := second_daemon_told(settings):
        yield Check("dagster", CheckState.WARN, sentence)

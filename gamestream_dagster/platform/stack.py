"""One stack: starts its services in dependency order, in parallel where possible, and stops them."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

from gamestream_dagster.file_lock import lock_within
from gamestream_dagster.platform import catalogue, health, jars, layout, memory, ports
from gamestream_dagster.platform.errors import (
    PlatformError,
    PurgeRefusedError,
    ServiceFailedError,
    StackBusyError,
    StackMismatchError,
)
from gamestream_dagster.platform.processes import descendants, process_figures
from gamestream_dagster.platform.service import (
    Progress,
    ProgressState,
    Service,
    ServiceState,
    ServiceStatus,
    silent,
)
from gamestream_dagster.platform.supervisor import ALIVE, GIVEN_UP, Supervisor, end_processes
from gamestream_dagster.settings import PROJECT_ROOT, Settings

LOCK_SECONDS = 5
RUNNING_SECONDS = 30  # for a running service to answer; it may just have been restarted
JAR_USES = {
    "kafka": (jars.JarUse.KAFKA,),
    "registry": (jars.JarUse.REGISTRY,),
    "flink": (jars.JarUse.FLINK_LIB, jars.JarUse.FLINK_OPT, jars.JarUse.FLINK_BATCH, jars.JarUse.COMPILER),
}


class Stack:
    """The embedded servers of one home."""

    def __init__(self, settings: Settings, progress: Progress = silent) -> None:
        self._settings = settings
        self._progress = progress
        self._supervisor = Supervisor(settings)

    def up(self, only: Sequence[str] | None = None) -> list[str]:
        """Start the requested services that are not running, and wait until they are healthy.

        Args:
            only: names of services or groups; None for all. Their dependencies start too.

        Returns:
            Names of the services that this call started; empty when everything was running.

        Raises:
            PlatformError: something cannot start; this call's servers are stopped again.
        """
        chosen = catalogue.select(only)
        for service in chosen if only is not None else ():
            if not service.wanted(self._settings):
                self._progress(service.name, ProgressState.SKIPPED, "the settings leave it out")
        layout.make_home(self._settings)
        with self._lock():
            self._check_same_ports()
            fresh = not self._supervisor.running()
            if fresh:
                self._supervisor.clear_leftovers()
            missing = [service for service in chosen if self._to_start(service, fresh)]
            try:
                if missing:
                    self._check_room(missing, fresh)
                    self._fetch_jars(missing)
                    self._write_stack_file()
                    if fresh:
                        self._supervisor.start_daemon(catalogue.services().values())
                    self._start_all(missing)
            except BaseException:  # an interrupt must not leave half a stack either
                self._undo(missing, fresh)
                raise
            return [service.name for service in missing]

    def down(self, purge: bool = False) -> list[str]:
        """Stop everything; with `purge` delete the home as well.

        Returns:
            Names of the services that were running.

        Raises:
            PurgeRefusedError: the home belongs to no stack, or holds something that must stay.
        """
        if not layout.run_dir(self._settings).is_dir():
            if purge and self._settings.home.exists():
                raise PurgeRefusedError(
                    f"{self._settings.home} holds no stack (it has no `run` folder), so it is not deleted; "
                    "give the right --home, or delete it yourself."
                )
            return []
        if purge:
            self._check_purgeable()
        layout.make_home(self._settings)
        with self._lock():
            stopped = self._stop_everything()
            if purge:
                shutil.rmtree(self._settings.home)
        return stopped

    def stop(self, group: str) -> list[str]:
        """Stop the running services of one group; does nothing where the stack is down.

        Returns:
            Their names.
        """
        if not layout.run_dir(self._settings).is_dir():
            return []
        with self._lock():
            states = self._supervisor.states() if self._supervisor.running() else {}
            ours = [service.name for service in catalogue.services().values() if service.group == group]
            alive = [name for name in ours if name in states and states[name]["statename"] in ALIVE]
            self._stop_services(alive, states)
            return alive

    def _check_purgeable(self) -> None:
        kept = {"the user's home": Path.home(), "the project": PROJECT_ROOT, "the working folder": Path.cwd()}
        for what, path in kept.items():
            if path == self._settings.home or self._settings.home in path.parents:
                raise PurgeRefusedError(
                    f"{self._settings.home} holds {what}, so it is not deleted; "
                    "run `gamestream down` and delete the stack's folders in it yourself."
                )

    def status(self, only: Sequence[str] | None = None) -> list[ServiceStatus]:
        """State of these services (None: of all), each asked through its own API, in parallel.

        One that the settings leave out is listed only while it still runs.
        """
        states = self._supervisor.states() if self._supervisor.running() else {}
        alive = {name for name, info in states.items() if info["statename"] in ALIVE}
        services = [
            service
            for service in catalogue.services().values()
            if (only is None or service.name in only) and (service.wanted(self._settings) or service.name in alive)
        ]
        with ThreadPoolExecutor(max(1, len(services))) as pool:
            return list(pool.map(lambda service: self._status_of(service, states.get(service.name)), services))

    def _status_of(self, service: Service, info: dict | None) -> ServiceStatus:
        if self._is_external(service):
            why = service.probe(self._settings)
            state = ServiceState.UNREACHABLE if why else ServiceState.EXTERNAL
            return ServiceStatus(service.name, state, None, None, None, None, service.link(self._settings), why or "")
        pid = info["pid"] or None if info else None
        resident, uptime = process_figures(pid)
        why = ""
        if info is None or info["statename"] == "STOPPED":
            state = ServiceState.STOPPED
        elif info["statename"] in ALIVE:
            why = service.probe(self._settings) or ""
            state = ServiceState.STARTING if why else ServiceState.HEALTHY
        else:
            state, why = ServiceState.FAILED, info["spawnerr"] or f"see `gamestream logs {service.name}`"
        port = self._settings.port(service.ports[0]) if service.ports else None
        return ServiceStatus(service.name, state, pid, port, resident, uptime, service.link(self._settings), why)

    def _is_external(self, service: Service) -> bool:
        return service.external is not None and self._settings.is_external(service.external)

    def _to_start(self, service: Service, fresh: bool) -> bool:
        if not service.wanted(self._settings):
            return False
        if self._is_external(service):
            why = service.probe(self._settings)
            if why:
                raise ServiceFailedError(
                    f"{service.name} was given by its address and is not well: {why}; "
                    "mend it, or take the address away to use the embedded one."
                )
            self._progress(service.name, ProgressState.EXTERNAL, service.link(self._settings))
            return False
        reason = service.missing(self._settings)
        if reason:
            self._progress(service.name, ProgressState.SKIPPED, reason)
            return False
        if not fresh and self._supervisor.states().get(service.name, {}).get("statename") in ALIVE:
            self._check_running_one(service)
            return False
        return True

    def _check_running_one(self, service: Service) -> None:
        why = health.wait_until(lambda: service.probe(self._settings), RUNNING_SECONDS)
        if why:
            raise ServiceFailedError(
                f"{service.name} runs but is not well: {why}; see `gamestream logs {service.name}`, "
                "or stop everything with `gamestream down` and start again."
            )
        self._progress(service.name, ProgressState.HEALTHY, "was running already")

    def _check_room(self, missing: list[Service], fresh: bool) -> None:
        base = self._settings.port_base
        # a home that has run on this base keeps it, also where it was given fewer ports than a stack takes now
        if fresh and base is not None and layout.saved_port_base(self._settings) != base:
            ports.require_free_block(base)
        ports.require_free(self._settings, [port for service in missing for port in service.ports])
        memory.require(missing, memory.available_mib())

    def _fetch_jars(self, missing: list[Service]) -> None:
        uses = {use for service in missing for use in JAR_USES.get(service.group, ())}
        wanted = jars.for_use(*uses)

        def on_file(done: int, total: int) -> None:
            self._progress("jars", ProgressState.FETCHING, f"{done} of {total}")

        jars.ensure(wanted, on_file)

    def _check_same_ports(self) -> None:
        if not layout.stack_file(self._settings).exists() or not self._supervisor.running():
            return
        running = layout.saved_port_base(self._settings)
        if running != self._settings.port_base:
            raise StackMismatchError(
                f"The stack in {self._settings.home} runs with port base {running or 'unset'}, not "
                f"{self._settings.port_base or 'unset'}; run `gamestream down` first, or give another --home."
            )

    def _write_stack_file(self) -> None:
        base = self._settings.port_base
        text = "# Written by `gamestream up`: where this home's servers listen.\n"
        text += yaml.safe_dump({"port_base": base}) if base is not None else "{}\n"
        layout.write_private(layout.stack_file(self._settings), text)

    def _start_all(self, missing: list[Service]) -> None:
        start = _Start(missing)
        with ThreadPoolExecutor(len(missing)) as pool:
            futures = [pool.submit(self._start_one, service, start) for service in missing]
            try:
                errors = [error for future in futures if (error := future.exception()) is not None]
            except BaseException:  # an interrupt: the threads must not start anything more
                start.failed.set()
                raise
        real = [error for error in errors if not isinstance(error, _GivenUpError)]
        if real:
            raise real[0]

    def _start_one(self, service: Service, start: _Start) -> None:
        try:
            for need in service.needs:
                while need in start.done and not start.done[need].wait(0.1):
                    _stop_if(start.failed)
            _stop_if(start.failed)
            self._progress(service.name, ProgressState.PREPARING, "")
            start.prepare_once(service, self._settings)
            _stop_if(start.failed)
            self._supervisor.describe(service.name, service.program(self._settings))
            self._supervisor.start(service.name)
            self._progress(service.name, ProgressState.STARTING, "")
            self._wait_healthy(service, start.failed)
            self._progress(service.name, ProgressState.HEALTHY, service.link(self._settings))
            start.done[service.name].set()
        except BaseException:
            start.failed.set()
            raise

    def _wait_healthy(self, service: Service, failed: threading.Event) -> None:
        limit = time.monotonic() + service.start_seconds
        while (why := service.probe(self._settings)) is not None:
            _stop_if(failed)
            info = self._supervisor.states()[service.name]
            if info["statename"] in GIVEN_UP:
                why = "its process ended"
            elif time.monotonic() < limit:
                time.sleep(health.POLL_SECONDS)
                continue
            else:
                why = f"not healthy after {service.start_seconds} s ({why})"
            raise ServiceFailedError(
                f"{service.name} did not start: {why}; its last output: {self._last_words(service)}; "
                f"see {layout.log_file(self._settings, service.name)}."
            )

    def _last_words(self, service: Service) -> str:
        lines = last_lines(self._settings, service.name, 40)
        told = [line for line in lines if "ERROR" in line or "FATAL" in line or "rror:" in line] or lines
        return repr(told[-1].strip()[:300]) if told else "nothing"

    def _undo(self, missing: list[Service], fresh: bool) -> None:
        if fresh or not self._supervisor.running():
            self._stop_everything()
            return
        for service in missing:
            self._supervisor.stop(service.name)

    def _stop_everything(self) -> list[str]:
        if not self._supervisor.running():
            ended = self._supervisor.clear_leftovers()
            return [f"process {pid}" for pid in ended]
        states = self._supervisor.states()
        running = [name for name, info in states.items() if info["statename"] in ALIVE]
        self._stop_services(running, states)
        self._supervisor.shutdown()
        self._supervisor.clear_leftovers()
        return running

    def _stop_services(self, names: Sequence[str], states: dict[str, dict]) -> None:
        """Kill these services and their children, such as Dagster's runs."""
        children = descendants([states[name]["pid"] for name in names if states[name]["pid"]])
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            for name in pool.map(self._stop_one, names):
                self._progress(name, ProgressState.STOPPED, "")
        end_processes([child for child in children if child.is_running()])

    def _stop_one(self, name: str) -> str:
        self._supervisor.stop(name)
        return name

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Only one command at a time may change a stack."""
        path = layout.run_dir(self._settings) / "lock"
        with path.open("w") as file:
            if not lock_within(file, LOCK_SECONDS):
                raise StackBusyError(
                    f"Another `gamestream up` or `down` is at work on {self._settings.home}; "
                    "wait for it to end and run this again."
                )
            yield


class _Start:
    """State shared by the threads of one `up`."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.done = {service.name: threading.Event() for service in services}
        self.failed = threading.Event()
        self._groups = {service.group: threading.Lock() for service in services}
        self._prepared: set[str] = set()

    def prepare_once(self, service: Service, settings: Settings) -> None:
        """The services of a group share their files: one thread writes them, the others wait for it."""
        with self._groups[service.group]:
            if service.group not in self._prepared:
                service.prepare(settings)
                self._prepared.add(service.group)


class _GivenUpError(PlatformError):
    """Another service failed first, so this one was not started."""


def last_lines(settings: Settings, service: str, count: int) -> list[str]:
    """The last lines of a service's log; empty when there is none. Reads only the end of the file."""
    path = layout.log_file(settings, service)
    if not path.exists():
        return []
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - 400 * count))
        text = file.read().decode("utf-8", errors="replace")
    return text.splitlines()[-count:]


def _stop_if(failed: threading.Event) -> None:
    if failed.is_set():
        raise _GivenUpError("Another service did not start.")

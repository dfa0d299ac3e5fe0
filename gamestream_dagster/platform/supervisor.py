"""The process supervisor (`supervisor` from PyPI) of one stack: one daemon behind a private Unix socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from gamestream_dagster.platform import health, layout
from gamestream_dagster.platform.errors import SupervisorError
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import Settings

START_SECONDS = 20
STOP_SECONDS = 60
# supervisord's states of a program in which a process exists.
ALIVE = ("STARTING", "RUNNING", "STOPPING")
GIVEN_UP = ("FATAL", "BACKOFF", "EXITED", "UNKNOWN")
# Marks each process of a stack, to find processes whose supervisor was killed.
MARK = "GAMESTREAM_STACK"

DAEMON = """\
[supervisord]
logfile={logs}/supervisor.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={run}/supervisor.pid
childlogdir={logs}
directory={home}
identifier=gamestream
umask=022
{user}
[unix_http_server]
file={socket}
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """\
[program:{name}]
command={command}
autostart=false
autorestart=true
startsecs=2
startretries=8
stopsignal={signal}
stopwaitsecs={wait}
stopasgroup={group}
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""


class Supervisor:
    """Client and starter of a stack's supervisor."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = layout.supervisor_socket(settings)

    def running(self) -> bool:
        """True when the daemon answers."""
        if not self._socket.exists():
            return False
        try:
            return self._call("getState")["statename"] == "RUNNING"
        except SupervisorError:
            return False

    def start_daemon(self, services: Iterable[Service]) -> None:
        """Write its configuration and start it, after removing leftovers of a dead one."""
        self.clear_leftovers()
        config = layout.run_dir(self._settings) / "supervisord.conf"
        layout.write_private(config, self._configuration(services))
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            env={
                **os.environ,
                **layout.python_environment(),
                MARK: str(self._settings.home),
                "PYTHONWARNINGS": "ignore",
            },
        )
        if done.returncode or health.wait_until(lambda: None if self.running() else "silent", START_SECONDS, 0.05):
            said = (done.stderr or done.stdout).strip().splitlines() or ["it does not answer"]
            raise SupervisorError(
                f"The process supervisor did not start ({said[-1]}); "
                f"see {layout.logs_dir(self._settings) / 'supervisor.log'}."
            )

    def describe(self, name: str, program: Program) -> None:
        """Write what the program's next start will run."""
        described = {**asdict(program), "directory": str(program.directory) if program.directory else None}
        described["environment"] = {MARK: str(self._settings.home), **program.environment}
        path = layout.program_file(self._settings, name)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        layout.write_private(path, json.dumps(described, default=str, indent=1))

    def start(self, name: str) -> None:
        """Send a start; returns before the program is known to run."""
        try:
            self._call("startProcess", name, False)
        except SupervisorError as error:
            if "ALREADY_STARTED" not in str(error):
                raise

    def stop(self, name: str) -> None:
        """Stop a program and wait for its end (supervisord kills it after its own timeout)."""
        try:
            self._call("stopProcess", name, True)
        except SupervisorError as error:
            if "NOT_RUNNING" not in str(error):
                raise

    def states(self) -> dict[str, dict[str, Any]]:
        """supervisord's view of each program: statename, pid, start (epoch seconds), spawnerr."""
        return {info["name"]: info for info in self._call("getAllProcessInfo")}

    def shutdown(self) -> None:
        """Stop the daemon and wait until its process has ended."""
        pid = self._call("getPID")
        self._call("shutdown")
        try:
            psutil.Process(pid).wait(STOP_SECONDS)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired as error:
            raise SupervisorError(
                f"The process supervisor (pid {pid}) did not end within {STOP_SECONDS} s; run `gamestream down` again."
            ) from error

    def clear_leftovers(self) -> list[int]:
        """Kill processes of this stack that no living supervisor owns, and remove a dead socket and pid file.

        Returns the pids that were ended.
        """
        orphans = self.processes()
        ended = [process.pid for process in orphans]
        end_processes(orphans)
        for path in (self._socket, layout.run_dir(self._settings) / "supervisor.pid"):
            path.unlink(missing_ok=True)
        return ended

    def processes(self) -> list[psutil.Process]:
        """Processes with this stack's mark, including the supervisor's own."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        try:
            if process.environ().get(MARK) == str(self._settings.home):
                return True
            # Postgres overwrites its environment with its title.
            return process.name() == "postgres" and str(self._settings.home / "postgres" / "data") in process.cmdline()
        except psutil.Error:  # ended meanwhile, or another user's
            return False

    def _configuration(self, services: Iterable[Service]) -> str:
        launcher = Path(__file__).with_name("launch.py")
        logs = _escaped(layout.logs_dir(self._settings))
        text = DAEMON.format(
            logs=logs,
            run=_escaped(layout.run_dir(self._settings)),
            home=_escaped(self._settings.home),
            socket=_escaped(self._socket),
            user="user=root" if os.geteuid() == 0 else "",
        )
        for service in services:
            # -I: no user folders on the path; this package's modules would shadow the standard library's `platform`.
            words = [sys.executable, "-I", str(launcher), str(layout.program_file(self._settings, service.name))]
            text += PROGRAM.format(
                name=service.name,
                command=" ".join(f'"{_escaped(word)}"' for word in words),
                signal=service.stop_signal,
                wait=service.stop_seconds,
                # Postgres ends its own children, and a signal to them would look like a crash.
                group="false" if service.stop_signal == "INT" else "true",
                logs=logs,
            )
        return text

    def _call(self, method: str, *arguments: Any) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        proxy = xmlrpc.client.ServerProxy(
            "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{self._socket}")
        )
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise SupervisorError(f"The process supervisor refused {method}: {fault.faultString}.") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorError(
                f"The process supervisor of {self._settings.home} does not answer ({error}); run `gamestream up`."
            ) from error


def end_processes(processes: Iterable[psutil.Process], patience: float = 15) -> None:
    """Terminate processes, then kill the remaining ones."""
    chosen = list(processes)
    for process in chosen:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(chosen, timeout=patience)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _escaped(value: Path | str) -> str:
    text = str(value)
    if '"' in text or "\n" in text or ";" in text:
        raise SupervisorError(f"The path {text!r} holds a quote, a semicolon or a line break; choose another --home.")
    return text.replace("%", "%%")

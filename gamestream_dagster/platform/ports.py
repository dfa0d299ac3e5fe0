"""Finds the owner of a port, and a free range of ports."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from gamestream_dagster.platform.errors import PortTakenError
from gamestream_dagster.port_block import PORTS_PER_STACK
from gamestream_dagster.settings import Settings

FIRST_BASE = 20000
LAST_BASE = 32000  # the kernel uses ports from 32768 on for outgoing connections


@dataclass(frozen=True)
class Listener:
    """A process that listens on a TCP port; pid and name are None when the system hides the owner."""

    address: str
    port: int
    pid: int | None
    name: str | None

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else "a process of another user"


def is_free(port: int) -> bool:
    """True when a server could listen on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do; TIME_WAIT does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def listeners(ports: Iterable[int] | None = None) -> list[Listener]:
    """TCP listeners of this machine, on all ports or on these."""
    wanted = None if ports is None else set(ports)
    found = []
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        address, port = connection.laddr
        if wanted is None or port in wanted:
            found.append(Listener(address, port, connection.pid, _process_name(connection.pid)))
    return found


def require_free(settings: Settings, servers: Iterable[str]) -> None:
    """Check that the ports of these servers (keys of `STANDARD_PORTS`) are free.

    Raises:
        PortTakenError: names the first taken port, its owner, and a free port base.
    """
    for server in servers:
        port = settings.port(server)
        if not is_free(port):
            raise _taken(f"Port {port} ({server.replace('_', ' ')}) is", port)


def require_free_block(base: int) -> None:
    """Check that every port of a new stack's block is free, including those of servers that start later.

    Raises:
        PortTakenError: names the first taken port, its owner, and a free port base.
    """
    last = base + PORTS_PER_STACK - 1
    for port in range(base, last + 1):
        if not is_free(port):
            raise _taken(f"A stack takes the ports {base} to {last}, and {port} is", port)


def _taken(subject: str, port: int) -> PortTakenError:
    owner = next((str(each) for each in listeners([port])), "another process")
    return PortTakenError(
        f"{subject} taken by {owner}; stop that process, or choose other ports with "
        f"`gamestream up --port-base {free_base()}`."
    )


def free_base(first: int = FIRST_BASE) -> int:
    """First of a stack's consecutive free ports, searched from `first` on and then from the beginning.

    Raises:
        PortTakenError: there is none.
    """
    step = PORTS_PER_STACK
    for base in [*range(first, LAST_BASE, step), *range(FIRST_BASE, first, step)]:
        if all(is_free(port) for port in range(base, base + PORTS_PER_STACK)):
            return base
    raise PortTakenError(
        f"There are no {PORTS_PER_STACK} consecutive free ports from {FIRST_BASE} to {LAST_BASE}; stop some servers."
    )


def _process_name(pid: int | None) -> str | None:
    if pid is None:
        return None
    try:
        return psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return "a process that has just ended"

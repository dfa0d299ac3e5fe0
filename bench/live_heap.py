"""What a JVM's heap holds and still needs: the bundled Java has no `jcmd`, so the JVM is asked the way `jcmd` asks it.

HotSpot's attach protocol: a file beside the process and SIGQUIT make the JVM open a socket; a request is the protocol's
version, a command and three arguments, each ended by a NUL; the answer is a line with 0, and then the text.
`inspectheap -live` collects the whole heap and counts what is left, class by class, a total as its last line.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

from bench.machine import PROC
from bench.results import BenchError

OPEN_SECONDS, ANSWER_SECONDS = 20.0, 120.0
_TOTAL = re.compile(r"^Total\s+\d+\s+(\d+)\s*$", re.MULTILINE)


def live_heap_bytes(pid: int) -> int:
    """Bytes of all objects that are still reachable, after a full collection: the JVM stands still for it.

    Raises:
        BenchError: the process is no JVM, does not open its socket, or answers something else.
    """
    try:
        return total_of(_asked(pid))
    except OSError as error:
        raise BenchError(f"process {pid} does not tell of its heap: {error}; see `gamestream status`") from error


def _asked(pid: int) -> str:
    name = (PROC / str(pid) / "comm").read_text(encoding="utf-8").strip()
    if name != "java":  # SIGQUIT would end it
        raise BenchError(f"process {pid} is {name} and not a JVM; its heap cannot be counted")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(_socket(pid)))
        connection.sendall(b"1\0inspectheap\0-live\0\0\0")
        return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode("utf-8", "replace")


def total_of(answer: str) -> int:
    """The total of a histogram.

    Raises:
        BenchError: the text is not one.
    """
    status, _, histogram = answer.partition("\n")
    total = _TOTAL.search(histogram)
    if status.strip() != "0" or total is None:
        raise BenchError(f"the JVM did not count its heap: {answer[:200]!r}")
    return int(total[1])


def _socket(pid: int) -> Path:
    opened = Path(f"/tmp/.java_pid{pid}")  # noqa: S108 - HotSpot's own place, whatever the settings say
    if opened.exists():
        return opened
    wish = Path(f"/tmp/.attach_pid{pid}")  # noqa: S108
    wish.touch()
    try:
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + OPEN_SECONDS
        while not opened.exists():
            if time.monotonic() > deadline:
                raise BenchError(
                    f"process {pid} does not open {opened}; is it a JVM of this user that may be attached to?"
                )
            time.sleep(0.05)
    finally:
        wish.unlink(missing_ok=True)
    return opened

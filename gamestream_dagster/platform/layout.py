"""Where the platform keeps its files under a home and in the shared cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import yaml

from gamestream_dagster.settings import Settings

# The kernel's limit on a Unix socket's path is 107 bytes; supervisord adds `.<pid>` while it makes the socket.
SOCKET_PATH_LIMIT = 96


def run_dir(settings: Settings) -> Path:
    """Sockets, locks, program descriptions of the running stack."""
    return settings.home / "run"


def stack_file(settings: Settings) -> Path:
    """What `up` wrote of the stack's addresses."""
    return run_dir(settings) / "stack.yaml"


def saved_port_base(settings: Settings) -> int | None:
    """Port base of the home's last start; None: the usual ports, or never started."""
    path = stack_file(settings)
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("port_base") if path.exists() else None


def logs_dir(settings: Settings) -> Path:
    """One log a service."""
    return settings.home / "logs"


def log_file(settings: Settings, service: str) -> Path:
    """The current log of a service; rotated ones stand beside it."""
    return logs_dir(settings) / f"{service}.log"


def service_dir(settings: Settings, name: str) -> Path:
    """Data and configuration of one server."""
    return settings.home / name


def program_file(settings: Settings, service: str) -> Path:
    """Description of a service's program; written just before each start."""
    return run_dir(settings) / "programs" / f"{service}.json"


def started_at(settings: Settings, service: str) -> float:
    """When the service was last started, epoch seconds; 0 when never."""
    path = program_file(settings, service)
    return path.stat().st_mtime if path.exists() else 0.0


def cache_dir() -> Path:
    """Downloads shared by all stacks of a user."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "gamestream"


def python_environment() -> dict[str, str]:
    """Environment of Python servers: compiled modules are kept in the cache (1.4 s less CPU for each Dagster process).

    Their own place, because the environment's folder may be read-only or its owner may have forbidden writing there.
    """
    return {
        "PYTHONPYCACHEPREFIX": str(cache_dir() / "pycache"),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",  # many threads, little allocation: fewer arenas save a third of the memory
    }


def make_home(settings: Settings) -> None:
    """Create the folders that every service expects."""
    settings.home.mkdir(parents=True, exist_ok=True)
    for folder in (run_dir(settings), settings.home / "secrets"):
        folder.mkdir(exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    logs_dir(settings).mkdir(exist_ok=True)


def supervisor_socket(settings: Settings) -> Path:
    """Control socket of the supervisor: under the home, or in a private short folder when that path is too long."""
    path = run_dir(settings) / "supervisor.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]
    return _short_folder() / f"{digest}.sock"


def write_private(path: Path, text: str) -> None:
    """Write a file that only the user can read, in one step."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(partial).replace(path)


def _short_folder() -> Path:
    root = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(root) / "gamestream" if root else Path(tempfile.gettempdir()) / f"gamestream-{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR to a folder of your own.")
    folder.chmod(0o700)
    return folder

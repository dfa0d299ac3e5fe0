"""Dagster: code server, webserver and daemon, with their storage in Postgres. Nothing here imports Dagster itself."""

from __future__ import annotations

import sys
import time
from typing import Any

import httpx
import yaml

from gamestream_dagster.platform import health, layout
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import PROJECT_ROOT, Settings

MODULE = "gamestream_dagster.definitions"
LOCATION = "gamestream"
PASSWORD_VARIABLE = "GAMESTREAM_POSTGRES_PASSWORD"  # noqa: S105 (the variable's name)
MAX_CONCURRENT_RUNS = 2  # each run is a process of 300 MiB
HEARTBEAT_SECONDS = 120  # the daemon writes one every 30 s
CODE_HEARTBEAT_SECONDS = 3600
LOAD_QUERY = (
    "{ locationStatusesOrError { __typename ... on WorkspaceLocationStatusEntries { entries { name loadStatus } } } }"
)


def instance(settings: Settings) -> dict[str, Any]:
    """`dagster.yaml`. It names the variable with the password, because Dagster passes its content around."""
    home = layout.service_dir(settings, "dagster")
    return {
        "storage": {
            "postgres": {
                "postgres_db": {
                    # dagster-postgres supports psycopg2, but SQLAlchemy 2.1 defaults to psycopg 3: there
                    # `with connection:` closes it, so every request of the webserver would fail
                    "scheme": "postgresql+psycopg2",
                    "hostname": settings.postgres_host,
                    "port": settings.postgres_port or settings.port("postgres"),
                    "username": settings.postgres_user,
                    "password": {"env": PASSWORD_VARIABLE},
                    "db_name": settings.dagster_database,
                }
            }
        },
        "local_artifact_storage": {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": str(home / "storage")},
        },
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(home / "compute_logs")},
        },
        # Not `concurrency.runs`: it polls its queue only every 5 s.
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"max_concurrent_runs": MAX_CONCURRENT_RUNS, "dequeue_interval_seconds": 1},
        },
        # Ends a run whose process was killed, and frees its slot.
        "run_monitoring": {"enabled": True, "start_timeout_seconds": 180, "max_runtime_seconds": 3600},
        "retention": {
            "schedule": {"purge_after_days": {"skipped": 2, "failure": 14, "success": 7}},
            "sensor": {"purge_after_days": {"skipped": 1, "failure": 14, "success": 7}},
        },
        "schedules": {"use_threads": True, "num_workers": 2},
        "sensors": {"use_threads": True, "num_workers": 2},
        "freshness": {"enabled": True},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
    }


def workspace(settings: Settings) -> dict[str, Any]:
    """`workspace.yaml`: one location, from the code server."""
    server = {"host": "127.0.0.1", "port": settings.port("dagster_code"), "location_name": LOCATION}
    return {"load_from": [{"grpc_server": server}]}


def prepare(settings: Settings) -> None:
    """Write the instance's and the workspace's configuration."""
    folder = layout.service_dir(settings, "dagster")
    folder.mkdir(exist_ok=True)
    layout.write_private(folder / "dagster.yaml", yaml.safe_dump(instance(settings), sort_keys=False))
    layout.write_private(folder / "workspace.yaml", yaml.safe_dump(workspace(settings), sort_keys=False))


def code(settings: Settings) -> Program:
    """The code server: runs start as its child processes. Code that does not load shows in the UI instead of a crash.

    `code-server start` and not `api grpc`: only the former reloads definitions on request, as
    `gamestream apply` does. Its inner server would exit after 30 s without a heartbeat from the outer one, and nobody
    would restart it: a machine that swaps or sleeps must not lose the code location.
    """
    arguments = ["dagster", "code-server", "start", "--module-name", MODULE, "--location-name", LOCATION]
    address = ["--host", "127.0.0.1", "--port", str(settings.port("dagster_code"))]
    patience = ["--heartbeat-ttl", str(CODE_HEARTBEAT_SECONDS)]
    return _program(settings, *arguments, *address, *patience, "--use-python-environment-entry-point")


def webserver(settings: Settings) -> Program:
    """The UI and GraphQL server."""
    address = ["-h", "127.0.0.1", "-p", str(settings.port("dagster"))]
    return _program(settings, "dagster_webserver", *address, "-w", _workspace_file(settings))


def daemon(settings: Settings) -> Program:
    """Schedules, sensors, the run queue."""
    return _program(settings, "dagster._daemon", "run", "-w", _workspace_file(settings))


def probe_code(settings: Settings) -> str | None:
    """Ask the code server's own health service."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    address = f"127.0.0.1:{settings.port('dagster_code')}"
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service="DagsterApi")
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are generated at run time
            answer = stub.Check(request, timeout=health.REQUEST_SECONDS)
        except grpc.RpcError as error:
            return f"no answer from {address} ({error.code().name})"  # pyright: ignore[reportAttributeAccessIssue]
    return None if answer.status == health_pb2.HealthCheckResponse.SERVING else f"{address} is not serving yet"


def probe_webserver(settings: Settings) -> str | None:
    """Ask the GraphQL server whether it has the code location, loaded or with an error."""

    def reason(response: httpx.Response) -> str | None:
        answer = (response.json().get("data") or {}).get("locationStatusesOrError") or {}
        states = {entry["name"]: entry["loadStatus"] for entry in answer.get("entries", [])}
        return None if states.get(LOCATION) == "LOADED" else "the code location is still loading"

    return health.http_ok(f"{settings.dagster_url}/graphql?query={LOAD_QUERY}", reason)


def probe_daemon(settings: Settings) -> str | None:
    """Look for a heartbeat of this start in the daemon's own table."""
    import psycopg

    from gamestream_dagster.clients.postgres import LIBPQ_DEFAULTS

    try:
        with psycopg.connect(
            settings.postgres_dsn(settings.dagster_database, driver="postgresql"),
            connect_timeout=3,
            **LIBPQ_DEFAULTS,
        ) as connection:
            found = connection.execute(
                "SELECT extract(epoch FROM max(timestamp)) FROM daemon_heartbeats WHERE daemon_type = 'SCHEDULER'"
            ).fetchone()
    except psycopg.errors.UndefinedTable:
        return "Dagster's tables are not made yet"
    except psycopg.OperationalError:
        return "Postgres does not answer"
    latest = float(found[0]) if found and found[0] is not None else 0.0
    if latest < layout.started_at(settings, "dagster-daemon"):
        return "no heartbeat since its start"
    return None if time.time() - latest < HEARTBEAT_SECONDS else "no heartbeat for two minutes"


def _program(settings: Settings, *arguments: str) -> Program:
    return Program(
        command=(sys.executable, "-m", *arguments),
        environment={
            "DAGSTER_HOME": str(layout.service_dir(settings, "dagster")),
            "GAMESTREAM_HOME": str(settings.home),
            PASSWORD_VARIABLE: settings.postgres_password_value,
            "DAGSTER_DISABLE_TELEMETRY": "true",
            "PGHOSTADDR": "",
            "PGTARGETSESSIONATTRS": "any",
            **layout.python_environment(),
        },
        directory=PROJECT_ROOT,
    )


def _workspace_file(settings: Settings) -> str:
    return str(layout.service_dir(settings, "dagster") / "workspace.yaml")


def _service(name: str, **fields: Any) -> Service:
    return Service(name=name, group="dagster", prepare=prepare, link=lambda settings: settings.dagster_url, **fields)


SERVICES = (
    _service(
        "dagster-code",
        needs=("postgres",),
        ports=("dagster_code",),
        memory_mib=450,
        program=code,
        probe=probe_code,
    ),
    _service(
        "dagster-webserver",
        needs=("postgres", "dagster-code"),
        ports=("dagster",),
        memory_mib=300,
        program=webserver,
        probe=probe_webserver,
    ),
    _service(
        "dagster-daemon",
        needs=("postgres", "dagster-code"),
        ports=(),
        memory_mib=250,
        program=daemon,
        probe=probe_daemon,
    ),
)

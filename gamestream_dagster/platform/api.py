"""The serving API."""

from __future__ import annotations

import sys

from gamestream_dagster.platform import health, layout
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import Settings


def prepare(settings: Settings) -> None:
    """An empty working folder."""
    layout.service_dir(settings, "api").mkdir(exist_ok=True)


def program(settings: Settings) -> Program:
    """The server's command."""
    return Program(
        command=(sys.executable, "-m", "gamestream_dagster.serving_api"),
        environment={"GAMESTREAM_HOME": str(settings.home), **layout.python_environment()},
        directory=layout.service_dir(settings, "api"),
    )


def probe(settings: Settings) -> str | None:
    """Ask whether it runs and Postgres answers it. Tables that `gamestream apply` has yet to make are no fault."""
    return health.http_ok(f"{settings.api_url}/healthz") or health.http_ok(f"{settings.api_url}/readyz")


SERVICES = (
    Service(
        name="api",
        group="api",
        needs=("postgres",),
        ports=("api",),
        memory_mib=250,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda settings: settings.api_url,
    ),
)

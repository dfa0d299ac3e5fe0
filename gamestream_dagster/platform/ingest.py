"""The HTTP API of intake."""

from __future__ import annotations

import sys

import httpx

from gamestream_dagster.enrichment.tables import publish_all
from gamestream_dagster.platform import health, layout
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import Settings


def prepare(settings: Settings) -> None:
    """An empty working folder, and the tables of countries."""
    layout.service_dir(settings, "ingest").mkdir(exist_ok=True)
    publish_all(settings.enrichment_dir)


def program(settings: Settings) -> Program:
    """The server's command."""
    return Program(
        command=(sys.executable, "-m", "gamestream_dagster.ingest"),
        environment={"GAMESTREAM_HOME": str(settings.home), **layout.python_environment()},
        directory=layout.service_dir(settings, "ingest"),
    )


def probe(settings: Settings) -> str | None:
    """Ask whether it runs and Kafka takes events. A topic that `gamestream apply` has yet to make is no fault of it."""
    why = health.http_ok(f"{settings.ingest_url}/healthz")
    if why:
        return why
    try:
        reply = httpx.get(f"{settings.ingest_url}/readyz", timeout=health.REQUEST_SECONDS, trust_env=False)
        told = {} if reply.is_success else reply.json()
    except (httpx.HTTPError, ValueError) as error:
        return f"no answer from {settings.ingest_url}/readyz ({type(error).__name__})"
    return None if told.get("code") in (None, "NO_TOPIC") else told.get("message", "not ready")


SERVICES = (
    Service(
        name="ingest",
        group="ingest",
        needs=("kafka", "postgres"),
        ports=("ingest",),
        memory_mib=200,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda settings: settings.ingest_url,
    ),
)

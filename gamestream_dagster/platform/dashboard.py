"""The Streamlit dashboard, which serves the reports too."""

from __future__ import annotations

import sys

from gamestream_dagster.platform import health, layout
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import PROJECT_ROOT, Settings

APP = PROJECT_ROOT / "gamestream_dagster" / "dashboard" / "serve.py"


def prepare(settings: Settings) -> None:
    """An empty working folder: Streamlit would read a `.streamlit` folder of the caller's directory."""
    layout.service_dir(settings, "dashboard").mkdir(exist_ok=True)


def program(settings: Settings) -> Program:
    """Streamlit's command."""
    options = {
        "server.address": "127.0.0.1",
        "server.port": settings.port("dashboard"),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": "127.0.0.1",
        "client.toolbarMode": "minimal",
    }
    return Program(
        command=(
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(APP),
            *(f"--{name}={value}" for name, value in options.items()),
        ),
        environment={"GAMESTREAM_HOME": str(settings.home), **layout.python_environment()},
        directory=layout.service_dir(settings, "dashboard"),
    )


def probe(settings: Settings) -> str | None:
    """Ask Streamlit's health page."""
    return health.http_ok(f"{settings.dashboard_url}/_stcore/health")


SERVICES = (
    Service(
        name="dashboard",
        group="dashboard",
        needs=("postgres",),
        ports=("dashboard",),
        memory_mib=200,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda settings: settings.dashboard_url,
        missing=lambda _: None if APP.exists() else f"{APP.name} is not there",
    ),
)

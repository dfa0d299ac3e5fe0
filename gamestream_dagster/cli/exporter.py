"""`gamestream exporter`: the series of the alerts for a Prometheus server."""

from __future__ import annotations

from typing import Annotated

import typer

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import CouldNotRun, Home, PortBase, as_could_not_run, settings_from

talk = Talk(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("exporter", rich_help_panel=panels.QUALITY)(exporter)


def exporter(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1 (default: the stack's own).")
    ] = None,
    home: Home = None,
    port_base: PortBase = None,
) -> None:
    """Serve the series of the alerts to Prometheus until Ctrl-C."""
    from gamestream_dagster.monitoring.exporter import serve

    settings = settings_from(home, port_base)
    chosen = port or settings.port("metrics")
    with as_could_not_run():
        try:
            _, thread = serve(settings, lambda ask: ask(), chosen)
        except OSError as error:
            raise CouldNotRun(
                f"Port {chosen} cannot be used ({error.strerror}); give another one with --port."
            ) from error
    talk.print(
        f"Serving http://127.0.0.1:{chosen}/metrics until Ctrl-C; the scrape is deploy/prometheus/prometheus.yml."
    )
    thread.join()

"""Flink's metrics for Prometheus, on 127.0.0.1: a reporter compiled from Java sources once per machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gamestream_dagster.platform.compiled import OwnJar, compiled

FACTORY: Final = "org.apache.flink.metrics.prometheus.LocalReporterFactory"
NAME: Final = "gamestream"
"""Of the reporter, in Flink's options `metrics.reporter.NAME`."""
PORT: Final = f"metrics.reporter.{NAME}.port"
JAR: Final = OwnJar(
    name="gamestream-reporter.jar",
    sources=tuple(sorted(Path(__file__).parent.glob("org/**/*.java"))),
    services={"org.apache.flink.metrics.reporter.MetricReporterFactory": (FACTORY,)},
)


def configuration() -> dict[str, str]:
    """Flink's options, without the port: each process has one of its own."""
    return {
        "metrics.reporters": NAME,
        f"metrics.reporter.{NAME}.factory.class": FACTORY,
        # 127.0.0.1 stays 127.0.0.1 instead of 127_0_0_1, and a job keeps its name
        f"metrics.reporter.{NAME}.filterLabelValueCharacters": "false",
    }


def reporter_jar(class_path: Sequence[Path]) -> Path:
    """The compiled jar, built when missing.

    Args:
        class_path: the jars of the Flink distribution, and flink-metrics-prometheus.

    Raises:
        JarError: it cannot be compiled; says why.
    """
    return compiled(JAR, class_path)

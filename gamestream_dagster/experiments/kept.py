"""Certificates that a stack keeps of an experiment: the newest, and the first, whose plan is the frozen one."""

from __future__ import annotations

from pathlib import Path

import orjson

from gamestream_dagster.experiments.certificate import (
    ExperimentCertificate,
    is_experiment,
    read_experiment_certificate,
)
from gamestream_dagster.settings import Settings


def first_file(settings: Settings, name: str) -> Path:
    """Where the first certificate of an experiment is kept; `name` is that of the plan's file."""
    return settings.home / "experiments" / f"{name}.first.json"


def newest_file(settings: Settings, name: str) -> Path:
    """Where the newest certificate is kept."""
    return settings.home / "experiments" / f"{name}.json"


def first_kept(settings: Settings, name: str) -> ExperimentCertificate | None:
    """The first certificate of an experiment; None before it.

    Raises:
        ExperimentCertificateError: the file is no certificate.
    """
    path = first_file(settings, name)
    return read_experiment_certificate(path) if is_experiment(path) else None


def keep(settings: Settings, name: str, made: ExperimentCertificate) -> Path:
    """Keep a certificate as the newest, and as the first where there is none; returns the file of the newest."""
    newest, first = newest_file(settings, name), first_file(settings, name)
    newest.parent.mkdir(parents=True, exist_ok=True)
    for path in (newest,) if first.exists() else (first, newest):
        part = path.with_suffix(".part")
        part.write_bytes(orjson.dumps(made.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
        part.replace(path)
    return newest

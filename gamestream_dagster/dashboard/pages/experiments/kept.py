"""The plans of the project and the certificates that the stack keeps of them; files alone, no server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gamestream_dagster.errors import GamestreamError, sentence_of
from gamestream_dagster.experiments.certificate import (
    ExperimentCertificate,
    is_experiment,
    read_experiment_certificate,
)
from gamestream_dagster.experiments.plan import Plan, load_plan
from gamestream_dagster.settings import PROJECT_ROOT, Settings

PLANS: Final = PROJECT_ROOT / "experiments"
MOST: Final = 50
_FIRST: Final = ".first"
_MOST_BYTES: Final = 5_000_000


@dataclass(frozen=True)
class Kept:
    """One experiment: its plan, its newest readout, or why there is none."""

    name: str
    plan: Plan | None
    """As the project has it now; None where only a certificate is left."""
    certificate: ExperimentCertificate | None
    file: Path
    """Of the certificate."""
    problem: str = ""

    @property
    def is_frozen(self) -> bool:
        """The plan is still the one that the readout was made by."""
        return self.plan is None or self.certificate is None or self.plan.digest == self.certificate.plan_digest


def read_kept(settings: Settings, plans: Path = PLANS) -> Sequence[Kept]:
    """Every experiment by name: those of the project, and those that only a certificate knows."""
    folder = settings.home / "experiments"
    names = {path.stem for path in plans.glob("*.yaml")}
    names |= {path.stem for path in folder.glob("*.json") if not path.stem.endswith(_FIRST)}
    return [_kept(name, plans / f"{name}.yaml", folder / f"{name}.json") for name in sorted(names)[:MOST]]


def _kept(name: str, plan_file: Path, file: Path) -> Kept:
    plan, made, problem = None, None, ""
    try:
        if plan_file.is_file():
            plan = load_plan(plan_file)
        if file.is_file():
            made = _certificate(file)
            problem = "" if made else f"{file.name} is no certificate of an experiment."
    except (GamestreamError, OSError) as error:
        problem = sentence_of(error)
    return Kept(name, plan, made, file, problem)


def _certificate(file: Path) -> ExperimentCertificate | None:
    if file.stat().st_size > _MOST_BYTES or not is_experiment(file):
        return None
    return read_experiment_certificate(file)

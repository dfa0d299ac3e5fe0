"""The experiments of one stack; what computes them is imported when they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.experiments.plan import Plan
from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.experiments.certificate import ExperimentCertificate


@dataclass(frozen=True)
class Reading:
    """A new certificate, where it is kept, and the plan's hash of the first one."""

    certificate: "ExperimentCertificate"
    path: Path
    sentence: str
    frozen_digest: str
    """Of the plan by which the experiment was read first."""
    first_path: Path


class Experiments:
    """Reads the experiments of one stack from its archive."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, name: str, plan: Plan) -> Reading:
        """Read an experiment as far as the archive goes, and keep its certificate.

        Args:
            name: of the plan's file.
            plan: what it says.

        Raises:
            ExperimentError: the experiment cannot be read; says why.
            ArchiveError: the archive cannot be read.
        """
        from gamestream_dagster.experiments.certificate import certify_archive
        from gamestream_dagster.experiments.kept import first_file, first_kept, keep
        from gamestream_dagster.experiments.sentence import sentence

        first = first_kept(self._settings, name)
        made = certify_archive(self._settings, plan)
        path = keep(self._settings, name, made)
        told = sentence(made.readout, plan)
        frozen = (first or made).plan_digest
        return Reading(made, path, told, frozen, first_file(self._settings, name))


class ExperimentsResource(dg.ConfigurableResource[Experiments]):
    """The experiments of a stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Experiments:
        """The facade over the stack's settings."""
        return Experiments(self.stack)

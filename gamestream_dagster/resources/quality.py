"""The Great Expectations suites of `quality/`, imported on first use: the import takes seconds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from quality.results import QualityResult


class QualitySuites:
    """The suites, against one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, suites: Sequence[str]) -> "QualityResult":
        """Validate the named suites and build their Data Docs.

        Raises:
            QualityError: the suites could not run.
        """
        from quality.runner import run_suites

        return run_suites(self._settings, suites=list(suites))


class QualityResource(dg.ConfigurableResource[QualitySuites]):
    """Opens the suites for the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> QualitySuites:
        """A plain runner."""
        return QualitySuites(self.stack)

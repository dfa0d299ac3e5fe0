"""The drill as a Dagster resource. It runs on servers of its own, never on the stack that Dagster works for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.drill.model import DrillRun


class Driller:
    """Runs drills and keeps their reports with those of the stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def drill(self, only: Sequence[str], repeat: int, say: Callable[[str], None]) -> tuple["DrillRun", Path]:
        """Play the scenarios named, or all; the run, and where its page is.

        Raises:
            DrillError, PlatformError: there is no such scenario, or no servers can be started.
        """
        from gamestream_dagster.drill.report import write_drill
        from gamestream_dagster.drill.run import DrillOptions, drill_on
        from gamestream_dagster.drill.scenarios import choose

        run = drill_on(None, None, DrillOptions(choose(tuple(only)), repeat), say)
        return run, write_drill(self._settings.reports_dir / "drill", run)

    def link(self, page: Path) -> str:
        """Where the page can be read."""
        return self._settings.report_url(page)


class DrillerResource(dg.ConfigurableResource[Driller]):
    """Opens the drill of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Driller:
        """A plain facade."""
        return Driller(self.stack)

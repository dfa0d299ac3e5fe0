"""The drill as a Dagster resource. It runs on a sandbox stack, never on the stack that Dagster manages."""

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
        """Run the named scenarios, or all; returns the run and the path of its page.

        Raises:
            DrillError, PlatformError: a scenario is unknown, or servers cannot start.
        """
        from gamestream_dagster.drill.report import write_drill
        from gamestream_dagster.drill.run import DrillOptions, drill_on
        from gamestream_dagster.drill.scenarios import choose

        run = drill_on(None, None, DrillOptions(choose(tuple(only)), repeat), say)
        return run, write_drill(self._settings.reports_dir / "drill", run)

    def link(self, page: Path) -> str:
        """The address of the page."""
        return self._settings.report_url(page)


class DrillerResource(dg.ConfigurableResource[Driller]):
    """Opens the drill of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Driller:
        """A plain facade."""
        return Driller(self.stack)

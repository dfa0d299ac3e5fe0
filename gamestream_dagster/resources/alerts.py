"""One round of the alerts of a stack."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.monitoring.watch import Round


class AlertRules:
    """The alerts of one stack; its clients are imported when it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def watch(self, within: Callable[[Callable[[], Any]], Any]) -> "Round":
        """Collect, evaluate, write and send.

        Raises:
            GamestreamError: an entry of the alerts is wrong, or Postgres does not answer.
        """
        from gamestream_dagster.monitoring.watch import watch

        return watch(self._settings, within)


class AlertRulesResource(dg.ConfigurableResource[AlertRules]):
    """Watches the alerts of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> AlertRules:
        """A plain watcher."""
        return AlertRules(self.stack)

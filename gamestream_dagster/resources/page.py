"""The address of the dashboard, and whether a page answers there."""

import time
from dataclasses import dataclass

import dagster as dg

from gamestream_dagster.settings import Settings

PAGE_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class PageAnswer:
    """One request of a page; `reason` is empty when it answered with HTTP 200."""

    url: str
    seconds: float
    reason: str

    @property
    def ok(self) -> bool:
        """True when the page answered."""
        return not self.reason


class Dashboard:
    """The dashboard of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def look(self) -> PageAnswer:
        """Request the leaderboards page once, at most 5 s. Returns a failure instead of raising it."""
        import httpx

        url = self._settings.dashboard_url
        start = time.monotonic()
        try:
            # trust_env: a proxy from the environment must not sit between two servers on this machine
            status = httpx.get(url, timeout=PAGE_TIMEOUT_SECONDS, follow_redirects=True, trust_env=False).status_code
        except httpx.TransportError as error:
            return PageAnswer(url, time.monotonic() - start, f"no answer ({type(error).__name__})")
        return PageAnswer(url, time.monotonic() - start, "" if status == 200 else f"HTTP {status}")


class DashboardResource(dg.ConfigurableResource[Dashboard]):
    """Observes the dashboard of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Dashboard:
        """A plain observer."""
        return Dashboard(self.stack)

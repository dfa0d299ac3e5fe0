"""Exports and erasures as a Dagster resource. Runs name a request, never a player."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.privacy.certificate import EraseCertificate
    from gamestream_dagster.privacy.export import Exported


class Privacy:
    """Carries requests out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def waiting(self) -> list[int]:
        """Numbers of the open requests to erase that came over HTTP, oldest first.

        Raises:
            GamestreamError: Postgres does not answer, or the table is not made yet.
        """
        from gamestream_dagster.privacy.requests import open_requests

        with open_requests(self._settings) as requests:
            return requests.open_from_api()

    def export(self, request: int) -> "Exported":
        """Export the player of a request that is not finished, into `<home>/privacy/export-N.zip`.

        Raises:
            PrivacyError: there is no such request, or its player was erased.
        """
        from gamestream_dagster.privacy.export import export
        from gamestream_dagster.privacy.requests import player_of_request

        target: Path = self._settings.home / "privacy" / f"export-{request}.zip"
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return export(self._settings, player_of_request(self._settings, request), target)

    def erase(self, request: int, say: Callable[[str], None]) -> "EraseCertificate":
        """Carry an erase out, or go on with it.

        Raises:
            PrivacyError: there is no such request, or another erase runs.
        """
        from gamestream_dagster.privacy.erase import erase

        return erase(self._settings, request, say)


class PrivacyResource(dg.ConfigurableResource[Privacy]):
    """Opens the personal data of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Privacy:
        """A plain facade."""
        return Privacy(self.stack)

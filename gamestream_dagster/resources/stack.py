"""The stack's settings as a Dagster resource: addresses and choices, no secret in its configuration."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from gamestream_dagster.settings import Settings, load_settings


class StackResource(dg.ConfigurableResource[Settings]):
    """Reads the settings of a stack; secrets stay in the home's own files and are read when a client needs them."""

    home: str | None = Field(
        default=None, description="Folder with all state of the stack; unset: GAMESTREAM_HOME, else `.gamestream`."
    )
    port_base: int | None = Field(
        default=None, description="First of the stack's 24 ports; unset: what `gamestream up` wrote into the home."
    )

    def create_resource(self, context: dg.InitResourceContext) -> Settings:
        """The frozen settings that every facade is given."""
        return load_settings(home=self.home, port_base=self.port_base)

"""The settings of the serving API; `Settings` inherits them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.settings.http import MEMORY_STORAGE, STORAGE_PATTERN, ListenAddress, Proxies, Rate


class ApiSettings(BaseModel):
    """Address and limits of the serving API."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_host: ListenAddress = Field(default="127.0.0.1", description="IP address on which the serving API listens.")
    api_trusted_proxies: Proxies = Field(
        default=(),
        description="Addresses or networks of the proxies of the serving API whose X-Forwarded-For is believed; in the "
        "environment separated by commas.",
    )
    api_rate_per_address: Rate = Field(
        default="1000/second", description="Requests to the serving API from one client address (IPv6: one /64)."
    )
    api_rate_per_key: Rate = Field(default="1000/second", description="Requests to the serving API with one key.")
    api_limits_storage: str = Field(
        default=MEMORY_STORAGE,
        pattern=STORAGE_PATTERN,
        description="Where the serving API counts rates, an address of the `limits` library; several servers need a "
        "shared one, such as async+valkey://127.0.0.1:6379.",
    )

"""The settings of the HTTP API of intake; `Settings` inherits them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gamestream_dagster.settings.http import MEMORY_STORAGE, STORAGE_PATTERN, ListenAddress, Proxies, Rate


class IngestSettings(BaseModel):
    """Address, limits and secrets of the HTTP API."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ingest_host: ListenAddress = Field(default="127.0.0.1", description="IP address on which the HTTP API listens.")
    ingest_trusted_proxies: Proxies = Field(
        default=(),
        description="Addresses or networks of the proxies whose X-Forwarded-For is believed; in the environment "
        "separated by commas.",
    )
    ingest_rate_per_address: Rate = Field(
        default="500/second", description="Requests from one client address (IPv6: one /64)."
    )
    ingest_rate_per_key: Rate = Field(default="250/second", description="Requests with one key.")
    ingest_events_per_key: Rate = Field(default="25000/second", description="Events with one key.")
    ingest_limits_storage: str = Field(
        default=MEMORY_STORAGE,
        pattern=STORAGE_PATTERN,
        description="Where rates are counted, an address of the `limits` library; several servers need a shared one, "
        "such as async+valkey://127.0.0.1:6379.",
    )
    ingest_body_seconds: float = Field(default=15, gt=0, le=600, description="Longest time for a request's body.")
    ingest_delivery_seconds: float = Field(
        default=10, ge=1, le=60, description="Longest wait for Kafka's delivery reports, before an event is `retry`."
    )
    ingest_remembered_events: int = Field(
        default=300_000,
        ge=0,
        le=20_000_000,
        description="Event ids of the last 12 minutes that are remembered to answer `duplicate`; 0.25 KiB each.",
    )
    ingest_dead_letter_share: float = Field(
        default=0.05, ge=0, le=1, description="Share of refused game events in the last hour above which Dagster warns."
    )
    ingest_signing_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret from which the signing secrets of keys are derived; empty: the home's own.",
    )

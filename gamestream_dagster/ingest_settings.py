"""The settings of the HTTP API of intake; `Settings` inherits them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

MEMORY_STORAGE: Final = "async+memory://"
_RATE: Final = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour)")


def _rate(text: str) -> str:
    if not _RATE.fullmatch(text):
        raise ValueError("write a rate as NUMBER/second, NUMBER/minute or NUMBER/hour, such as 200/second")
    return text


def _listen_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("give the IP address to listen on, such as 127.0.0.1, or 0.0.0.0 for all") from None


Rate = Annotated[str, AfterValidator(_rate)]


class IngestSettings(BaseModel):
    """Address, limits and secrets of the HTTP API."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ingest_host: Annotated[str, AfterValidator(_listen_address)] = Field(
        default="127.0.0.1", description="IP address on which the HTTP API listens."
    )
    ingest_trusted_proxies: tuple[str, ...] = Field(
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
        pattern=r"^async\+[a-z+]+://.*$",
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

    @field_validator("ingest_trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

    @field_validator("ingest_trusted_proxies")
    @classmethod
    def _networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            try:
                ipaddress.ip_network(each)
            except ValueError:
                raise ValueError("give addresses or networks of proxies, such as 127.0.0.1 or 10.0.0.0/8") from None
        return given

"""The tables that enrich game events: published to the stack with their versions, and watched for what they miss."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from gamestream_dagster.components.keys import DEFAULT_OWNER, DEVICE_TABLE, GEO_TABLE, Group
from gamestream_dagster.enrichment.shares import Share
from gamestream_dagster.enrichment.tables import DEVICE_FILE, GEO_FILE
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.resources.enrichment import Enrichment
from gamestream_dagster.resources.failures import explained

FEW_UNKNOWN: Final = "few_unknown"
MOST_UNKNOWN: Final = 0.5
_FILES: Final = {GEO_TABLE: GEO_FILE, DEVICE_TABLE: DEVICE_FILE}
_DESCRIPTIONS: Final = {
    GEO_TABLE: "Countries of addresses (IPFire, CC BY-SA 4.0), built by `make geo-table`. Materialising it publishes "
    "it: the HTTP API and the intake job use it within ten seconds.",
    DEVICE_TABLE: "Categories and tiers of device models, by our own rules. Materialising it publishes it: the intake "
    "job uses it within ten seconds.",
}
_CAUSES: Final = {
    GEO_TABLE: "Usual reasons: a proxy that is not in ingest_trusted_proxies, private addresses, a backend that sends "
    "neither country nor ip_address.",
    DEVICE_TABLE: "Add prefixes for the models to gamestream_dagster/enrichment/data/devices.json.",
}


@dg.multi_asset(
    name="publish_enrichment_tables",
    specs=[
        dg.AssetSpec(
            key,
            description=description,
            group_name=Group.PROVISIONING.value,
            owners=[DEFAULT_OWNER],
            kinds={"file"},
            tags={"layer": "enrichment"},
            metadata={"file": _FILES[key]},
        )
        for key, description in _DESCRIPTIONS.items()
    ],
    can_subset=True,
)
def enrichment_tables(
    context: dg.AssetExecutionContext, enrichment: dg.ResourceParam[Enrichment]
) -> Iterator[dg.MaterializeResult]:
    """Publish what is newer than the stack's own; the data version is the table's."""
    for key in sorted(context.selected_asset_keys):
        with explained(f"publish {_FILES[key]}"):
            table = enrichment.publish(_FILES[key])
        yield dg.MaterializeResult(asset_key=key, metadata=table.facts, data_version=dg.DataVersion(table.version))


@dg.multi_asset_check(
    name="unknown_shares",
    description="How many of the newest enriched events stayed unknown.",
    specs=[
        dg.AssetCheckSpec(FEW_UNKNOWN, asset=key, description="At most half of the newest 2,000 events are unknown.")
        for key in _FILES
    ],
    can_subset=True,
)
def few_unknown(
    context: dg.AssetCheckExecutionContext, enrichment: dg.ResourceParam[Enrichment]
) -> Iterator[dg.AssetCheckResult]:
    """A warning for each table that misses more than half; no result without events: nothing was looked up."""
    keys = sorted(key.asset_key for key in context.selected_asset_check_keys)
    try:
        shares = enrichment.shares()
    except GamestreamError as error:
        for key in keys:
            yield _result(key, False, f"Could not look: {error}", {})
        return
    for key in keys:
        share = shares.country if key == GEO_TABLE else shares.device
        if not share.events:
            context.log.info(f"Not run yet: no enriched event tells anything about {key.path[-1]}.")
            continue
        yield share_check(key, share)


def share_check(key: dg.AssetKey, share: Share) -> dg.AssetCheckResult:
    """The result of one table."""
    passed = share.unknown_share <= MOST_UNKNOWN
    said = f"{share.unknown_share:.1%} of the newest {share.events:,} events are unknown."
    facts = {"events": share.events, "unknown": share.unknown, "unknown_share": round(share.unknown_share, 4)}
    return _result(key, passed, said if passed else f"{said} {_CAUSES[key]}", facts)


def _result(key: dg.AssetKey, passed: bool, said: str, facts: dict[str, int | float]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=FEW_UNKNOWN,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=facts,
    )

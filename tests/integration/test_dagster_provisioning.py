"""The provisioning assets against the real Kafka, registry and Postgres."""

from __future__ import annotations

from typing import Any

import dagster as dg
from sqlalchemy import text

from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.resources.provisioning import Provisioner
from gamestream_dagster.settings import Settings


def launch(settings: Settings) -> dg.ExecuteInProcessResult:
    from gamestream_dagster.definitions import defs

    found = defs()
    keys = {spec.key for spec in found.resolve_all_asset_specs() if spec.group_name == "provisioning"}
    assets = [one for one in found.assets or [] if isinstance(one, dg.AssetsDefinition) and one.keys & keys]
    checks = [one for one in found.asset_checks or [] if {key.asset_key for key in one.check_keys} <= keys]
    resources = {"provisioner": Provisioner(settings)}
    # others of the group, such as the enrichment tables, provision nothing
    selected: list[Any] = [
        one for one in (*assets, *checks) if one.required_resource_keys <= {"io_manager", *resources}
    ]
    return dg.materialize(selected, resources=resources, raise_on_error=False)


def test_assets_create_what_is_missing_once_and_report_drift_without_mending_it(stack: Settings) -> None:
    first = launch(stack)
    assert first.success
    assert [one.description for one in first.get_asset_check_evaluations() if not one.passed] == []

    try:
        _execute(stack, "ALTER TABLE alerts ADD COLUMN odd integer")
        second = launch(stack)
    finally:
        _execute(stack, "ALTER TABLE alerts DROP COLUMN IF EXISTS odd")
    assert second.success, "drift is reported, it stops nothing"
    events = second.get_asset_materialization_events()
    made = [one.step_materialization_data.materialization.metadata["created"].value for one in events]
    assert len(made) > 15
    assert not any(made)
    [drifted] = [one for one in second.get_asset_check_evaluations() if not one.passed]
    assert drifted.asset_key == dg.AssetKey(["table", "alerts_table"])
    assert drifted.severity is dg.AssetCheckSeverity.ERROR
    assert "column odd integer is not in the definition" in (drifted.description or "")


def _execute(settings: Settings, statement: str) -> None:
    with open_engine(settings) as engine, engine.begin() as connection:
        connection.execute(text(statement))

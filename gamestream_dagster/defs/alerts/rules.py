"""The alerts: conditions over series, and the tables of their states and messages."""

import dagster as dg

from gamestream_dagster.components.alert_rules_sensor import rules_sensor
from gamestream_dagster.components.keys import ALERTS, DEFAULT_OWNER, RECONCILIATION, Group, table_key

INTERVAL_SECONDS = 60

alert_rules = rules_sensor(INTERVAL_SECONDS)

# An external asset: the sensor evaluates the rules, whatever is materialised.
alerts = dg.AssetSpec(
    ALERTS,
    description="Alerts about lag, jobs, runs, dead letters, freshness and proofs, and their messages to people.",
    group_name=Group.SERVING.value,
    owners=[DEFAULT_OWNER],
    kinds={"postgres"},
    tags={"surface": "alerts"},
    deps=[
        RECONCILIATION,
        *(table_key(name) for name in ("alerts", "alert_states", "alert_samples", "alert_silences", "alert_messages")),
    ],
)

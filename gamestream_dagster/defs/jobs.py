"""The jobs that people, schedules and `gamestream` start. Each runs in one process: a step is an API call or two."""

import dagster as dg

from gamestream_dagster.components.flink_sql_jobs import ON_REQUEST
from gamestream_dagster.components.keys import DEVICE_TABLE, GEO_TABLE, INTAKE_PROOF, LEADERBOARDS_PAGE, Group
from gamestream_dagster.defs.enrichment.assets import FEW_UNKNOWN
from gamestream_dagster.defs.reconciliation.checks import DIFFERENCES_CHECK, INTAKE_CHECKS, LEDGER_CHECK
from gamestream_dagster.defs.serving.assets import ANSWERS


def _group(group: Group) -> dg.AssetSelection:
    return dg.AssetSelection.groups(group.value)


# they depend on what reconciliations and jobs write
TABLE_SUITES = dg.AssetSelection.checks(DIFFERENCES_CHECK, LEDGER_CHECK, *INTAKE_CHECKS)
ENRICHED = dg.AssetSelection.checks(*(dg.AssetCheckKey(key, FEW_UNKNOWN) for key in (GEO_TABLE, DEVICE_TABLE)))
PROVISIONED = _group(Group.PROVISIONING) - TABLE_SUITES - ENRICHED
STREAMED = _group(Group.STREAMING)
REQUESTED = dg.AssetSelection.tag(ON_REQUEST, "true")
JOBS = STREAMED & dg.AssetSelection.key_prefixes("job") - REQUESTED
BOARDS = STREAMED & dg.AssetSelection.key_prefixes("board")
PAGE = dg.AssetSelection.checks(dg.AssetCheckKey(LEADERBOARDS_PAGE, ANSWERS))
PROOFS = _group(Group.RECONCILIATION) - dg.AssetSelection.assets(INTAKE_PROOF)  # which has a schedule of its own
PROVEN = BOARDS | _group(Group.ARCHIVE) | PROOFS | TABLE_SUITES | ENRICHED | PAGE

provision = dg.define_asset_job(
    "provision",
    selection=PROVISIONED,
    description="Create the topics, subjects and tables that are missing, and report drift.",
    tags={"gamestream/part": "provision"},
)
deploy = dg.define_asset_job(
    "deploy",
    selection=JOBS,
    description="Bring every Flink SQL job to the state that its folder describes.",
    tags={"gamestream/part": "deploy"},
)
archive_and_reconcile = dg.define_asset_job(
    "archive_and_reconcile",
    selection=PROVEN,
    description="Archive the new events, compare every board with its recompute, and run the suites.",
    tags={"gamestream/part": "reconcile"},
)
everything = dg.define_asset_job(
    "everything",
    selection=(dg.AssetSelection.all() - _group(Group.METRICS) - REQUESTED) | PAGE,  # metrics have a run for each day
    description="Provision, deploy, archive, reconcile and check the pages, in the order of the lineage.",
    tags={"gamestream/part": "everything"},
)

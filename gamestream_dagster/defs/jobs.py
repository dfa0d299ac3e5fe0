"""The jobs that people, schedules and `gamestream` start. Each runs in one process: a step is an API call or two."""

import dagster as dg

from gamestream_dagster.components.keys import CLOSED_SEASONS, Group


def _group(group: Group) -> dg.AssetSelection:
    return dg.AssetSelection.groups(group.value)


PROVISIONED = _group(Group.PROVISIONING)
STREAMED = _group(Group.STREAMING)
JOBS = STREAMED & dg.AssetSelection.key_prefixes("job")
BOARDS = STREAMED & dg.AssetSelection.key_prefixes("board")
CLOSED = dg.AssetSelection.assets(CLOSED_SEASONS)
PROVEN = BOARDS | _group(Group.ARCHIVE) | _group(Group.RECONCILIATION) | (_group(Group.SERVING) - CLOSED)

provision = dg.define_asset_job(
    "provision",
    selection=PROVISIONED,
    description="Create the topics, subjects and tables that are missing, and report drift.",
    tags={"gamestream/part": "provision"},
)
deploy = dg.define_asset_job(
    "deploy",
    selection=JOBS,
    description="Bring every Flink SQL job to what its folder says, and leave it running.",
    tags={"gamestream/part": "deploy"},
)
archive_and_reconcile = dg.define_asset_job(
    "archive_and_reconcile",
    selection=PROVEN,
    description="Archive the new events, compare every board with its recompute, and run the suites.",
    tags={"gamestream/part": "reconcile"},
)
close_seasons = dg.define_asset_job(
    "close_seasons",
    selection=CLOSED,
    description="Archive the seasons that have ended, each with its certificate.",
    tags={"gamestream/part": "seasons"},
)
everything = dg.define_asset_job(
    "everything",
    selection=dg.AssetSelection.all(),
    description="Provision, deploy, archive, reconcile and look at the pages, in the order of the lineage.",
    tags={"gamestream/part": "everything"},
)

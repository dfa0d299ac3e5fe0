"""Great Expectations suites of boards, differences, archive and ledger; nothing here imports Dagster."""

import os

# Great Expectations reads this when it is imported: no run of ours may talk to the network.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

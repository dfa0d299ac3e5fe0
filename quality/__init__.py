"""Great Expectations suites of the boards, the differences and the archive; nothing here imports Dagster."""

import os

# Great Expectations reads this when it is imported: no run of ours may talk to the network.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

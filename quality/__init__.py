"""Great Expectations suites of boards, differences, archive and ledger; nothing here imports Dagster."""

import os

# Great Expectations reads this on import: our runs must not use the network.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

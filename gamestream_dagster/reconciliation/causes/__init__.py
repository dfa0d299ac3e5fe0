"""Why a row differs: one supposition after the other, until the recompute gives what the sink shows."""

"""Why a row differs: one hypothesis after the other, until the recompute gives what the sink shows."""

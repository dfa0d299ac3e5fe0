"""The drill: fault injection on a sandbox stack, and a matrix of how the job manager recovered."""

"""The drill: faults on purpose, on servers of its own, and a table of how the job manager came through them."""

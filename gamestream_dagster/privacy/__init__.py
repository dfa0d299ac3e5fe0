"""Personal data: where it is, its export, and its erasure."""

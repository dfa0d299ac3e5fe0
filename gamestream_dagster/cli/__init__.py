"""The `gamestream` command: one thin module per command group."""

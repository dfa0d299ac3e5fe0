"""The `gamestream` command: one module a command group, each thin."""

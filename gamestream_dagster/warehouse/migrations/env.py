"""Alembic's entry point. It runs on the connection that `warehouse.migrate` hands over, in its transaction."""

from alembic import context

from gamestream_dagster.warehouse.tables import system

if context.is_offline_mode():
    raise RuntimeError("Migrations run on a connection only; use `gamestream apply`.")

context.configure(connection=context.config.attributes["connection"], target_metadata=system)
with context.begin_transaction():
    context.run_migrations()

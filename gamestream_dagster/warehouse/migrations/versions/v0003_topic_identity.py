"""The topic incarnation and start offsets of a run, and the archive chapter of a ledger row."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; existing rows belong to the archive's first chapter."""
    op.add_column("reconciliation_runs", sa.Column("topic_id", sa.Text()))
    op.add_column("reconciliation_runs", sa.Column("holds_from", JSONB()))
    op.add_column("reconciliation_runs", sa.Column("archive_head", sa.Text()))
    op.add_column("ledger", sa.Column("chapter", sa.Integer(), nullable=False, server_default="1"))
    op.drop_constraint("pk_ledger", "ledger", type_="primary")
    op.create_primary_key("pk_ledger", "ledger", ["topic", "chapter", "partition_id", "minute"])


def downgrade() -> None:
    """Drop the columns and the rows of later chapters."""
    op.execute("DELETE FROM ledger WHERE chapter > 1")
    op.drop_constraint("pk_ledger", "ledger", type_="primary")
    op.create_primary_key("pk_ledger", "ledger", ["topic", "partition_id", "minute"])
    op.drop_column("ledger", "chapter")
    op.drop_column("reconciliation_runs", "archive_head")
    op.drop_column("reconciliation_runs", "holds_from")
    op.drop_column("reconciliation_runs", "topic_id")

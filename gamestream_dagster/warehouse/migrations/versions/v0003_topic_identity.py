"""Which incarnation of the topic a run was about, from where it holds, and the archive's chapter of the ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was counted before is of the archive's first chapter."""
    op.add_column("reconciliation_runs", sa.Column("topic_id", sa.Text()))
    op.add_column("reconciliation_runs", sa.Column("holds_from", JSONB()))
    op.add_column("reconciliation_runs", sa.Column("archive_head", sa.Text()))
    op.add_column("ledger", sa.Column("chapter", sa.Integer(), nullable=False, server_default="1"))
    op.drop_constraint("pk_ledger", "ledger", type_="primary")
    op.create_primary_key("pk_ledger", "ledger", ["topic", "chapter", "partition_id", "minute"])


def downgrade() -> None:
    """Drop them, with what was counted of later chapters."""
    op.execute("DELETE FROM ledger WHERE chapter > 1")
    op.drop_constraint("pk_ledger", "ledger", type_="primary")
    op.create_primary_key("pk_ledger", "ledger", ["topic", "partition_id", "minute"])
    op.drop_column("ledger", "chapter")
    op.drop_column("reconciliation_runs", "archive_head")
    op.drop_column("reconciliation_runs", "holds_from")
    op.drop_column("reconciliation_runs", "topic_id")

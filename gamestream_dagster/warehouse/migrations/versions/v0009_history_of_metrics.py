"""How much of the history of backfilled events a settled day was computed from."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; earlier versions read no history."""
    op.add_column("metric_settlements", sa.Column("history_upto", sa.BigInteger()))


def downgrade() -> None:
    """Drop it: days with backfilled events are settled again."""
    op.drop_column("metric_settlements", "history_upto")

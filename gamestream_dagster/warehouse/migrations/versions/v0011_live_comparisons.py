"""What was streamed of settled days against the settled numbers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "live_comparisons",
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("settle_version", sa.Integer(), nullable=False),
        sa.Column("compared_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("numbers", sa.Integer(), nullable=False),
        sa.Column("differing", sa.Integer(), nullable=False),
        sa.Column("causes", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("metric", "day", name="pk_live_comparisons"),
    )


def downgrade() -> None:
    """Drop it; days are compared again."""
    op.drop_table("live_comparisons")

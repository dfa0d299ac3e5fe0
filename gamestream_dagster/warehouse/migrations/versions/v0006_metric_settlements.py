"""The settlements of metrics and the events that caused further versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "metric_settlements",
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("settle_version", sa.Integer(), nullable=False),
        sa.Column("settled_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("file_sha256", sa.Text(), nullable=False),
        sa.Column("chapter", sa.Integer()),
        sa.Column("archived_upto", JSONB()),
        sa.Column("complete_at", JSONB()),
        sa.Column("inputs", JSONB(), nullable=False),
        sa.Column("late_events", sa.BigInteger(), nullable=False),
        sa.Column("failed_checks", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("metric", "day", "settle_version", name="pk_metric_settlements"),
    )
    op.create_table(
        "metric_settlement_events",
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("settle_version", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("chapter", sa.Integer(), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("event_time", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("metric", "day", "settle_version", "place", name="pk_metric_settlement_events"),
    )


def downgrade() -> None:
    """Drop them: every day counts as never settled."""
    op.drop_table("metric_settlement_events")
    op.drop_table("metric_settlements")

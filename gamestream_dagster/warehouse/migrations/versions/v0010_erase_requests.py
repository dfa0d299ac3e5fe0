"""Requests to erase a player: what was planned and done, and the certificate."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "erase_requests",
        sa.Column("request", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("player", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("suppressed_at", TIMESTAMP(timezone=True)),
        sa.Column("finished_at", TIMESTAMP(timezone=True)),
        sa.Column("plan", JSONB(), nullable=False),
        sa.Column("steps", JSONB(), nullable=False),
        sa.Column("certificate", JSONB()),
        sa.PrimaryKeyConstraint("request", name="pk_erase_requests"),
    )


def downgrade() -> None:
    """Drop it; the suppression list stays."""
    op.drop_table("erase_requests")

"""The job's own ledger, closed seasons, the action of a difference, and the boards that a run covered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the column."""
    op.add_column("reconciliation_runs", sa.Column("boards", JSONB()))
    op.add_column("differences", sa.Column("accepted", sa.Boolean()))
    op.add_column("differences", sa.Column("action", sa.Text()))
    op.create_table(
        "job_ledger",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("minute_millis", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger())
            for name in (
                "records",
                "accepted",
                "duplicate",
                "offset_sum",
                "offset_square_sum",
                "first_offset",
                "last_offset",
            )
        ),
        sa.PrimaryKeyConstraint("job", "partition_id", "minute_millis", name="pk_job_ledger"),
    )
    op.create_table(
        "closed_seasons",
        sa.Column("board", sa.Text(), nullable=False),
        sa.Column("season_id", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("season", sa.Text(), nullable=False),
        sa.Column("closed_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("rows", JSONB(), nullable=False),
        sa.Column("certificate", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("board", "season_id", name="pk_closed_seasons"),
    )


def downgrade() -> None:
    """Drop them with their rows."""
    op.drop_table("closed_seasons")
    op.drop_table("job_ledger")
    op.drop_column("differences", "action")
    op.drop_column("differences", "accepted")
    op.drop_column("reconciliation_runs", "boards")

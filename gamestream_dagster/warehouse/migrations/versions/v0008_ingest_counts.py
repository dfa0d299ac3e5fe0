"""What the HTTP API counted of its answers, and how far its journals are folded."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COUNTS = ("received", "accepted", "duplicate", "refused", "retry")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "ingest_counts",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("minute", TIMESTAMP(timezone=True), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("key_id", "minute", name="pk_ingest_counts"),
    )
    op.create_table(
        "ingest_journals",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folded", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_ingest_journals"),
    )


def downgrade() -> None:
    """Drop them: what the API counted is lost."""
    op.drop_table("ingest_journals")
    op.drop_table("ingest_counts")

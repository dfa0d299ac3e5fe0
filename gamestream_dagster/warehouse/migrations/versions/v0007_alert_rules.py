"""Rules over series: states, samples, silences, and the messages to send."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("alert_messages", "alert_silences", "alert_samples", "alert_states")


def upgrade() -> None:
    """Create the tables. An alert that is active now is announced when it is raised again."""
    op.add_column("alerts", sa.Column("announced_at", TIMESTAMP(timezone=True)))
    op.execute("UPDATE alerts SET severity = 'high' WHERE severity = 'error'")
    # the sensor of dead letters raised it; the rule high_dlq_rate takes its place
    op.execute("UPDATE alerts SET cleared_at = now() WHERE alert_id = 'intake/dead_letters' AND cleared_at IS NULL")
    op.create_table(
        "alert_states",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("evaluated_at", sa.Double(), nullable=False),
        sa.Column("pending_since", sa.Double()),
        sa.Column("fired_at", sa.Double()),
        sa.Column("told_blind", sa.Boolean(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name="pk_alert_states"),
    )
    op.create_table(
        "alert_samples",
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("series", "at", "labels", name="pk_alert_samples"),
    )
    op.create_table(
        "alert_silences",
        sa.Column("silence_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("ends_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("silence_id", name="pk_alert_silences"),
    )
    op.create_table(
        "alert_messages",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("details", JSONB()),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finished_at", TIMESTAMP(timezone=True)),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("message_id", name="pk_alert_messages"),
    )


def downgrade() -> None:
    """Drop them: silences and unsent messages end."""
    for table in TABLES:
        op.drop_table(table)
    op.execute("UPDATE alerts SET severity = 'error' WHERE severity = 'high'")
    op.drop_column("alerts", "announced_at")

"""Create the system tables.

Boards have no migration: a board's table follows its `output.yaml` (see `warehouse.migrate`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them."""
    _jobs()
    _reconciliation()
    _accounts()


def downgrade() -> None:
    """Drop them with what they hold."""
    for table in (
        "alerts",
        "ledger",
        "differences",
        "reconciliation_runs",
        "incidents",
        "deployments",
    ):
        op.drop_table(table)


def _time(name: str, nullable: bool = True) -> sa.Column:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def _jobs() -> None:
    op.create_table(
        "deployments",
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("flink_job_id", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("upgrade_mode", sa.Text()),
        sa.Column("restore_path", sa.Text()),
        sa.Column("savepoint_path", sa.Text()),
        _time("submitted_at"),
        _time("running_at"),
        _time("ended_at"),
        sa.Column("outcome", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("spec", JSONB()),
        sa.Column("compiled_plan", sa.Text()),
        sa.Column("version", sa.Integer()),
        sa.PrimaryKeyConstraint("deployment_id", name="pk_deployments"),
        sa.UniqueConstraint("job", "generation", name="uq_deployments_job_generation"),
    )
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        _time("opened_at", nullable=False),
        _time("closed_at"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer()),
        sa.Column("summary", sa.Text()),
        sa.Column("timeline", JSONB()),
        sa.PrimaryKeyConstraint("incident_id", name="pk_incidents"),
    )


def _reconciliation() -> None:
    op.create_table(
        "reconciliation_runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        _time("started_at", nullable=False),
        _time("finished_at"),
        sa.Column("mode", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text()) for name in ("verdict", "reason", "job", "flink_job_id", "fingerprint")),
        sa.Column("checkpoint_id", sa.BigInteger()),
        sa.Column("low_cut", JSONB()),
        sa.Column("high_cut", JSONB()),
        sa.Column("bracket_events", sa.BigInteger()),
        *(sa.Column(f"rows_{what}", sa.Integer()) for what in ("compared", "equal", "different", "unexplained")),
        sa.Column("seconds", sa.Double()),
        sa.Column("report_path", sa.Text()),
        sa.Column("ledger", JSONB()),
        sa.PrimaryKeyConstraint("run_id", name="pk_reconciliation_runs"),
    )
    op.create_table(
        "differences",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("difference_id", sa.Integer(), nullable=False),
        sa.Column("board", sa.Text(), nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("rnk", sa.BigInteger()),
        sa.Column("entity", sa.Text()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text()),
        sa.Column("streamed", JSONB()),
        sa.Column("recomputed", JSONB()),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text()),
        sa.Column("evidence", JSONB()),
        sa.PrimaryKeyConstraint("run_id", "difference_id", name="pk_differences"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["reconciliation_runs.run_id"], name="fk_differences_run_id", ondelete="CASCADE"
        ),
    )


def _accounts() -> None:
    op.create_table(
        "ledger",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        _time("minute", nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("records", "accepted", "duplicate", "late", "dead_lettered")
        ),
        sa.Column("reasons", JSONB()),
        sa.Column("first_offset", sa.BigInteger()),
        sa.Column("last_offset", sa.BigInteger()),
        sa.PrimaryKeyConstraint("topic", "partition_id", "minute", name="pk_ledger"),
    )
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Text(), nullable=False),
        _time("raised_at", nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("details", JSONB()),
        _time("cleared_at"),
        sa.PrimaryKeyConstraint("alert_id", name="pk_alerts"),
    )

"""The topic of a job's ledger, and what a run says of each topic that it read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from gamestream_dagster.warehouse.ledger_parts import create_parts

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FORMER_TOPIC = "user-score"  # the only one before topics were recorded
_COUNTS = ("records", "accepted", "duplicate", "offset_sum", "offset_square_sum", "first_offset", "last_offset")
_MOVED = (
    ("topic_id", sa.Text()),
    ("low_cut", JSONB()),
    ("high_cut", JSONB()),
    ("holds_from", JSONB()),
    ("archive_head", sa.Text()),
    ("ledger", JSONB()),
)


def upgrade() -> None:
    """Divide the ledger by topic and give a run a row for each topic. Rows get the topic that their job reads."""
    _divide_ledger()
    _topics_of_runs()


def _divide_ledger() -> None:
    op.drop_constraint("pk_job_ledger", "job_ledger", type_="primary")
    op.rename_table("job_ledger", "job_ledger_before")
    op.create_table(
        "job_ledger",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("minute_millis", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger()) for name in _COUNTS),
        sa.PrimaryKeyConstraint("job", "topic", "partition_id", "minute_millis", name="pk_job_ledger"),
        postgresql_partition_by="LIST (topic)",
    )
    connection = op.get_bind()
    op.execute(
        f"""
        CREATE TEMPORARY TABLE ledger_topics ON COMMIT DROP AS
        SELECT known.job, coalesce(
            (SELECT deployed.spec -> 'reads' ->> 0 FROM deployments AS deployed
             WHERE deployed.job = known.job AND jsonb_typeof(deployed.spec -> 'reads') = 'array'
             ORDER BY deployed.generation DESC LIMIT 1),
            '{_FORMER_TOPIC}'
        ) AS topic
        FROM (SELECT DISTINCT job FROM job_ledger_before) AS known
        """  # noqa: S608 - constants
    )
    found = connection.execute(sa.text("SELECT DISTINCT topic FROM ledger_topics ORDER BY topic")).scalars().all()
    create_parts(connection, dict.fromkeys([_FORMER_TOPIC, *found]))
    columns = ", ".join(f"before.{name}" for name in ("partition_id", "minute_millis", *_COUNTS))
    op.execute(
        f"INSERT INTO job_ledger SELECT before.job, told.topic, {columns} "  # noqa: S608 - constants
        "FROM job_ledger_before AS before JOIN ledger_topics AS told ON told.job = before.job"
    )
    op.drop_table("job_ledger_before")


def _topics_of_runs() -> None:
    op.create_table(
        "reconciliation_topics",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("boards", JSONB()),
        *(sa.Column(name, kind) for name, kind in _MOVED),
        sa.PrimaryKeyConstraint("run_id", "topic", name="pk_reconciliation_topics"),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["reconciliation_runs.run_id"],
            ondelete="CASCADE",
            name="fk_reconciliation_topics_run_id",
        ),
    )
    columns = ", ".join(name for name, _ in _MOVED)
    op.execute(
        f"INSERT INTO reconciliation_topics (run_id, topic, verdict, reason, boards, {columns}) "  # noqa: S608 - constants
        f"SELECT run_id, coalesce(ledger ->> 'topic', '{_FORMER_TOPIC}'), verdict, reason, boards, {columns} "
        "FROM reconciliation_runs"
    )
    for name, _ in _MOVED:
        op.drop_column("reconciliation_runs", name)


def downgrade() -> None:
    """Keep the first topic of each run, and the ledger's rows of the former topic."""
    for name, kind in _MOVED:
        op.add_column("reconciliation_runs", sa.Column(name, kind))
    assigned = ", ".join(f"{name} = told.{name}" for name, _ in _MOVED)
    op.execute(
        f"UPDATE reconciliation_runs AS run SET {assigned} FROM (SELECT DISTINCT ON (run_id) * "  # noqa: S608 - constants
        "FROM reconciliation_topics ORDER BY run_id, topic) AS told WHERE told.run_id = run.run_id"
    )
    op.drop_table("reconciliation_topics")
    op.rename_table("job_ledger", "job_ledger_divided")
    op.execute("ALTER TABLE job_ledger_divided RENAME CONSTRAINT pk_job_ledger TO pk_job_ledger_divided")
    columns = ", ".join(("job", "partition_id", "minute_millis", *_COUNTS))
    op.execute(
        f"CREATE TABLE job_ledger AS SELECT {columns} FROM job_ledger_divided WHERE topic = '{_FORMER_TOPIC}'"  # noqa: S608 - constants
    )
    op.create_primary_key("pk_job_ledger", "job_ledger", ["job", "partition_id", "minute_millis"])
    op.drop_table("job_ledger_divided")

"""Make the tables of jobs, batches and of answers that are given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _make_jobs()
    for name in ("job_requests", "job_results"):
        op.create_table(
            name,
            sa.Column("job", sa.String(22), primary_key=True),
            sa.Column("data", sa.LargeBinary, nullable=False),
        )
    op.create_table(
        "job_labels",
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("created", sa.Double, primary_key=True),
        sa.Column("job", sa.String(22), primary_key=True),
    )
    op.create_index("job_labels_job", "job_labels", ["job"])
    op.create_table(
        "batches",
        sa.Column("id", sa.String(22), primary_key=True),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("learner", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("stop_after", sa.Integer),
    )
    op.create_table(
        "idempotency",
        sa.Column("id", sa.LargeBinary(32), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("claim", sa.String(16)),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.Text),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("idempotency_until", "idempotency", ["until"])


def _make_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(22), primary_key=True),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("learner", sa.Text, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("callback", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("retain", sa.Double, nullable=False),
        sa.Column("due", sa.Double),
        sa.Column("lease", sa.String(16)),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("batch", sa.String(22)),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
    )
    op.create_index("jobs_listed", "jobs", ["caller", "created", "id"])
    _index("jobs_queued", ["losses", "caller", "priority", "created"], "state = 'queued'")
    _index("jobs_lease", ["lease"], "lease IS NOT NULL")
    op.create_index("jobs_due", "jobs", ["due"])
    op.create_index("jobs_state", "jobs", ["state"])
    _index("jobs_batch", ["batch", "number"], "batch IS NOT NULL")


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))

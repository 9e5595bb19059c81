"""Make the tables of the learning loop (`code_labs.progress.tables`)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _of(table: str, name: str, *, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(
        name, _ID, sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False, primary_key=primary_key
    )


def upgrade() -> None:
    _make_courses()
    _make_work()


def _make_courses() -> None:
    op.create_table(
        "labs_courses",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("stamp", sa.Integer, nullable=False),
        sa.UniqueConstraint("owner", "name", name="labs_courses_name"),
    )
    op.create_table(
        "labs_videos",
        sa.Column("id", _ID, primary_key=True),
        _of("labs_courses", "course"),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("youtube", sa.String(16)),
        sa.Column("url", sa.Text),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("duration", sa.Double, nullable=False),
        sa.Column("chapters", sa.Text, nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("cues", sa.LargeBinary, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.UniqueConstraint("course", "name", name="labs_videos_name"),
    )
    op.create_table(
        "labs_fetches",
        _of("labs_courses", "course", primary_key=True),
        sa.Column("video", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "labs_labs",
        sa.Column("id", _ID, primary_key=True),
        _of("labs_courses", "course"),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("published", sa.Integer),
        sa.Column("newest", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.UniqueConstraint("course", "name", name="labs_labs_name"),
    )
    op.create_table(
        "labs_versions",
        _of("labs_labs", "lab", primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("report", sa.Text),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("published", sa.Double),
    )
    op.create_table(
        "labs_pins",
        _of("labs_labs", "lab", primary_key=True),
        _of("labs_videos", "video", primary_key=True),
        sa.Column("start", sa.Double, nullable=False),
        sa.Column("end", sa.Double),
    )
    op.create_index("labs_pins_video", "labs_pins", ["video"])
    op.create_table(
        "labs_learners",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.UniqueConstraint("owner", "pseudonym", name="labs_learners_pseudonym"),
    )


def _make_work() -> None:
    op.create_table(
        "labs_snapshots",
        sa.Column("id", sa.LargeBinary(32), primary_key=True),
        sa.Column("code", sa.LargeBinary, nullable=False),
        sa.Column("used", sa.Double, nullable=False),
    )
    op.create_table(
        "labs_drafts",
        _of("labs_learners", "learner", primary_key=True),
        _of("labs_labs", "lab", primary_key=True),
        sa.Column("code", sa.LargeBinary, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("saved", sa.Double, nullable=False),
    )
    op.create_index("labs_drafts_lab", "labs_drafts", ["lab"])
    op.create_table(
        "labs_attempts",
        sa.Column("id", _ID, primary_key=True),
        _of("labs_learners", "learner"),
        _of("labs_labs", "lab"),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("snapshot", sa.LargeBinary(32)),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("error", sa.String(100), nullable=False),
        sa.Column("test", sa.String(100), nullable=False),
        sa.Column("failed", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
    )
    op.create_index("labs_attempts_errors", "labs_attempts", ["lab", "error", "test", "learner"])
    op.create_index("labs_attempts_learner", "labs_attempts", ["learner", "lab"])
    op.create_index("labs_attempts_at", "labs_attempts", ["at"])
    op.create_index(
        "labs_attempts_snapshot",
        "labs_attempts",
        ["snapshot"],
        sqlite_where=sa.text("snapshot IS NOT NULL"),
        postgresql_where=sa.text("snapshot IS NOT NULL"),
    )
    op.create_table(
        "labs_work",
        _of("labs_labs", "lab", primary_key=True),
        _of("labs_learners", "learner", primary_key=True),
        _of("labs_courses", "course"),
        sa.Column("began", sa.Double, nullable=False),
        sa.Column("last", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("submits", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("hints", sa.Integer, nullable=False),
        sa.Column("error", sa.String(100), nullable=False),
        sa.Column("streak", sa.Integer, nullable=False),
        sa.Column("streak_at", sa.Double, nullable=False),
        sa.Column("first_at", sa.Double),
        sa.Column("first_submits", sa.Integer),
        sa.Column("first_seconds", sa.Double),
        sa.Column("first_hints", sa.Integer),
    )
    op.create_index("labs_work_learner", "labs_work", ["learner"])
    op.create_index("labs_work_course", "labs_work", ["course", "first_at"])
    op.create_table(
        "labs_days",
        _of("labs_courses", "course", primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        _of("labs_learners", "learner", primary_key=True),
    )
    op.create_index("labs_days_learner", "labs_days", ["learner"])
    op.create_table(
        "labs_events",
        sa.Column("id", _ID, primary_key=True),
        _of("labs_courses", "course"),
        _of("labs_learners", "learner"),
        sa.Column("lab", _ID, sa.ForeignKey("labs_labs.id", ondelete="CASCADE")),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("video", sa.String(64)),
        sa.Column("start", sa.Double),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index(
        "labs_events_clicks",
        "labs_events",
        ["course", "video", "start"],
        sqlite_where=sa.text("video IS NOT NULL"),
        postgresql_where=sa.text("video IS NOT NULL"),
    )
    op.create_index("labs_events_learner", "labs_events", ["learner"])
    op.create_index("labs_events_lab", "labs_events", ["lab"])
    op.create_index("labs_events_at", "labs_events", ["at"])

"""The tables of the learning loop, as they are after the newest migration. They are in the service's own database.

Times are seconds since 1970, in UTC. Texts of programs are compressed (`zlib`). A version of a lab never changes, and
attempts point at one. ``labs_work`` says how a learner stands with a lab: each attempt and event changes its row, so
that nothing that a teacher asks has to go through all attempts.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")  # of SQLite's, only an INTEGER counts by itself


def _of(table: str, name: str, *, primary_key: bool = False) -> Column[int]:
    return Column(name, _ID, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False, primary_key=primary_key)


courses = Table(
    "labs_courses",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("owner", String(64), nullable=False),  # the caller that a key is; empty while there are no keys
    Column("name", String(64), nullable=False),
    Column("title", String(200), nullable=False),
    Column("language", String(8), nullable=False),
    Column("created", Double, nullable=False),
    Column("stamp", Integer, nullable=False),  # counts changes of what matching depends on
    UniqueConstraint("owner", "name", name="labs_courses_name"),
)

videos = Table(
    "labs_videos",
    METADATA,
    Column("id", _ID, primary_key=True),
    _of("labs_courses", "course"),
    Column("name", String(64), nullable=False),
    Column("title", String(200), nullable=False),
    Column("youtube", String(16)),
    Column("url", Text),
    Column("language", String(8), nullable=False),  # that is spoken
    Column("duration", Double, nullable=False),  # seconds
    Column("chapters", Text, nullable=False),  # JSON: pairs of start and title
    Column("format", String(16), nullable=False),
    Column("cues", LargeBinary, nullable=False),  # compressed JSON: triples of start, end and text
    Column("position", Integer, nullable=False),
    UniqueConstraint("course", "name", name="labs_videos_name"),
)

fetches = Table(  # of captions, of those that teachers asked for last
    "labs_fetches",
    METADATA,
    _of("labs_courses", "course", primary_key=True),
    Column("video", String(64), primary_key=True),
    Column("id", String(16), nullable=False),
    Column("state", String(8), nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
)

labs = Table(
    "labs_labs",
    METADATA,
    Column("id", _ID, primary_key=True),
    _of("labs_courses", "course"),
    Column("name", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("published", Integer),  # the version that learners get
    Column("newest", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    UniqueConstraint("course", "name", name="labs_labs_name"),
)

versions = Table(
    "labs_versions",
    METADATA,
    _of("labs_labs", "lab", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),  # compressed JSON
    Column("hash", LargeBinary(32), nullable=False),  # SHA-256 of it
    Column("verified", Boolean, nullable=False),
    Column("report", Text),  # JSON; none: nobody has verified it
    Column("created", Double, nullable=False),
    Column("published", Double),  # when learners got it first
)

pins = Table(
    "labs_pins",
    METADATA,
    _of("labs_labs", "lab", primary_key=True),
    _of("labs_videos", "video", primary_key=True),
    Column("start", Double, nullable=False),
    Column("end", Double),
    Index("labs_pins_video", "video"),
)

learners = Table(
    "labs_learners",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("pseudonym", String(64), nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("owner", "pseudonym", name="labs_learners_pseudonym"),
)

snapshots = Table(
    "labs_snapshots",
    METADATA,
    Column("id", LargeBinary(32), primary_key=True),  # SHA-256 of the program and its files
    Column("code", LargeBinary, nullable=False),  # compressed JSON
    Column("used", Double, nullable=False),  # when it was handed in last
)

drafts = Table(
    "labs_drafts",
    METADATA,
    _of("labs_learners", "learner", primary_key=True),
    _of("labs_labs", "lab", primary_key=True),
    Column("code", LargeBinary, nullable=False),  # compressed
    Column("revision", Integer, nullable=False),
    Column("saved", Double, nullable=False),
    Index("labs_drafts_lab", "lab"),
)

attempts = Table(
    "labs_attempts",
    METADATA,
    Column("id", _ID, primary_key=True),
    _of("labs_learners", "learner"),
    _of("labs_labs", "lab"),
    Column("version", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("snapshot", LargeBinary(32)),  # none: it was forgotten
    Column("verdict", String(16), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("score", Double),
    Column("error", String(100), nullable=False),  # why it was not passed, in a word
    Column("test", String(100), nullable=False),  # the first that was not
    Column("failed", Text, nullable=False),  # JSON: all of them
    Column("seconds", Double, nullable=False),  # that grading took
    Index("labs_attempts_errors", "lab", "error", "test", "learner"),
    Index("labs_attempts_learner", "learner", "lab"),
    Index("labs_attempts_at", "at"),
    Index(
        "labs_attempts_snapshot",
        "snapshot",
        sqlite_where=text("snapshot IS NOT NULL"),
        postgresql_where=text("snapshot IS NOT NULL"),
    ),
)

work = Table(
    "labs_work",
    METADATA,
    _of("labs_labs", "lab", primary_key=True),
    _of("labs_learners", "learner", primary_key=True),
    _of("labs_courses", "course"),
    Column("began", Double, nullable=False),
    Column("last", Double, nullable=False),
    Column("seconds", Double, nullable=False),  # that it was worked on: pauses of 5 minutes do not count
    Column("runs", Integer, nullable=False),
    Column("submits", Integer, nullable=False),
    Column("failed", Integer, nullable=False),  # submits before the first that passed
    Column("hints", Integer, nullable=False),  # taken
    Column("error", String(100), nullable=False),  # of the last submit that failed
    Column("streak", Integer, nullable=False),  # submits in a row that ended with it
    Column("streak_at", Double, nullable=False),  # when that began
    # how it stood when the lab was passed for the first time: none while it was not
    Column("first_at", Double),
    Column("first_submits", Integer),
    Column("first_seconds", Double),
    Column("first_hints", Integer),
    Index("labs_work_learner", "learner"),
    Index("labs_work_course", "course", "first_at"),
)

days = Table(  # who was active when
    "labs_days",
    METADATA,
    _of("labs_courses", "course", primary_key=True),
    Column("day", String(10), primary_key=True),  # 2026-11-30
    _of("labs_learners", "learner", primary_key=True),
    Index("labs_days_learner", "learner"),
)

events = Table(
    "labs_events",
    METADATA,
    Column("id", _ID, primary_key=True),
    _of("labs_courses", "course"),
    _of("labs_learners", "learner"),
    Column("lab", _ID, ForeignKey("labs_labs.id", ondelete="CASCADE")),
    Column("type", String(16), nullable=False),
    Column("at", Double, nullable=False),
    Column("video", String(64)),  # of a click on a segment, and where that starts
    Column("start", Double),
    Column("data", Text, nullable=False),  # JSON
    Index(
        "labs_events_clicks",
        "course",
        "video",
        "start",
        sqlite_where=text("video IS NOT NULL"),
        postgresql_where=text("video IS NOT NULL"),
    ),
    Index("labs_events_learner", "learner"),
    Index("labs_events_lab", "lab"),
    Index("labs_events_at", "at"),
)

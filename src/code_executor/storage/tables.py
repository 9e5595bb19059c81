"""The tables, as they are after the newest migration. Times are seconds since 1970, in UTC."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

METADATA = MetaData()

keys = Table(
    "keys",
    METADATA,
    Column("id", String(8), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("previous", LargeBinary(32)),  # the hash of the secret before, while that is valid
    Column("previous_until", Double),
    Column("server", String(16), nullable=False),  # which server secret its learner tokens depend on
    Column("scopes", Text, nullable=False),  # separated by blanks
    Column("limits", Text, nullable=False),  # JSON
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Index(
        "keys_living_name",
        "name",
        unique=True,
        sqlite_where=text("revoked IS NULL"),
        postgresql_where=text("revoked IS NULL"),
    ),
)

suites = Table(
    "suites",
    METADATA,
    Column("owner", String(64), primary_key=True),  # the caller that a key is; empty while there are no keys
    Column("id", String(100), primary_key=True),
    Column("version", String(64), primary_key=True),  # SHA-256 of the text
    Column("text", LargeBinary, nullable=False),  # canonical JSON
    Column("stored", Double, nullable=False),  # when it was stored last: the newest is the one that a name alone means
    Index("suites_newest", "owner", "id", "stored"),
)

key_days = Table(
    "key_days",
    METADATA,
    Column("key", String(8), primary_key=True),
    Column("day", String(10), primary_key=True),  # 2026-11-29
    Column("seconds", Double, nullable=False),  # of sandboxes
)

_QUEUED = text("state = 'queued'")
_IN_BATCH = text("batch IS NOT NULL")

jobs = Table(
    "jobs",
    METADATA,
    Column("id", String(22), primary_key=True),
    Column("caller", Text, nullable=False),  # whose it is: a caller's id, and the learner for whom it was asked
    Column("learner", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("labels", Text, nullable=False),  # JSON
    Column("callback", Text, nullable=False),  # whom to tell of its end; empty: nobody
    Column("trace", Text, nullable=False),  # that it belongs to
    Column("created", Double, nullable=False),
    Column("expires", Double),  # when it is too late to begin
    Column("started", Double),
    Column("finished", Double),
    Column("retain", Double, nullable=False),  # seconds, after the end
    Column("due", Double),  # when the sweeper looks at it: it expires, its lease ends, or something of it goes
    Column("lease", String(16)),  # whose runner has it
    Column("generation", Integer, nullable=False),  # counts leases
    Column("attempts", Integer, nullable=False),  # that broke their sandbox
    Column("losses", Integer, nullable=False),  # leases that ended without a word
    Column("failed", Boolean, nullable=False),  # the program did, or we
    Column("version", Integer, nullable=False),  # counts changes of the state
    Column("batch", String(22)),
    Column("number", Integer, nullable=False),  # its place in the batch
    Column("size", Integer, nullable=False),  # bytes of request and result, as they are kept
    Index("jobs_listed", "caller", "created", "id"),
    Index("jobs_queued", "losses", "caller", "priority", "created", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
    Index("jobs_lease", "lease", sqlite_where=text("lease IS NOT NULL"), postgresql_where=text("lease IS NOT NULL")),
    Index("jobs_due", "due"),
    Index("jobs_state", "state"),
    Index("jobs_batch", "batch", "number", sqlite_where=_IN_BATCH, postgresql_where=_IN_BATCH),
)

job_requests = Table(
    "job_requests", METADATA, Column("job", String(22), primary_key=True), Column("data", LargeBinary, nullable=False)
)

job_results = Table(  # one each: that is what its primary key is for
    "job_results", METADATA, Column("job", String(22), primary_key=True), Column("data", LargeBinary, nullable=False)
)

job_labels = Table(
    "job_labels",
    METADATA,
    Column("caller", Text, primary_key=True),  # the same as the job's, as is the time: so a page is one piece of it
    Column("label", Text, primary_key=True),
    Column("created", Double, primary_key=True),
    Column("job", String(22), primary_key=True),
    Index("job_labels_job", "job"),
)

batches = Table(
    "batches",
    METADATA,
    Column("id", String(22), primary_key=True),
    Column("caller", Text, nullable=False),
    Column("learner", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("total", Integer, nullable=False),
    Column("stop_after", Integer),  # failures after which the rest is cancelled
)

idempotency = Table(
    "idempotency",
    METADATA,
    Column("id", LargeBinary(32), primary_key=True),  # SHA-256 of who asked, the path and the header
    Column("fingerprint", LargeBinary(32), nullable=False),  # SHA-256 of the body
    Column("claim", String(16)),  # who answers it; none: it is answered
    Column("until", Double, nullable=False),  # when the claim ends, or the answer is forgotten
    Column("status", Integer),
    Column("headers", Text),  # JSON
    Column("body", LargeBinary),
    Index("idempotency_until", "until"),
)

# ---- webhooks

webhooks = Table(
    "webhooks",
    METADATA,
    Column("id", String(32), primary_key=True),  # of the message
    Column("job", String(64), nullable=False, unique=True),
    Column("key", String(8), nullable=False),  # whose secret signs
    Column("url", Text, nullable=False),
    Column("host", String(300), nullable=False),  # and port
    Column("body", LargeBinary, nullable=False),
    Column("trace", String(64), nullable=False),
    Column("state", String(9), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),  # while it is being sent: when the lease ends
    Column("lease", String(16)),  # of who sends it
    Column("status", Integer),  # of the last answer
    Column("error", Text, nullable=False),
    Column("created", Double, nullable=False),
    Index(
        "webhooks_due",
        "next_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)

webhook_secrets = Table(
    "webhook_secrets",
    METADATA,
    Column("key", String(8), primary_key=True),
    Column("generation", Integer, nullable=False),  # without a row it is 1
    Column("previous_until", Double),
)

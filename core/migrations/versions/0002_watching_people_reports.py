"""Kept profiles and estimates, backtests, incidents, audit, health over time, reports."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = {
    # A window's profile in the bins of one version's reference: any two spans of windows compare without their rows.
    "profiles": """
        project VARCHAR NOT NULL, version INTEGER NOT NULL, window_number INTEGER NOT NULL, rows INTEGER NOT NULL,
        profile BLOB NOT NULL, kept_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (project, version, window_number)""",
    # What a window's score was guessed to be before its labels came.
    "guesses": """
        project VARCHAR NOT NULL, window_number INTEGER NOT NULL, version INTEGER NOT NULL, guess JSON NOT NULL,
        guessed_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (project, window_number)""",
    "backtests": """
        run BIGINT PRIMARY KEY, project VARCHAR NOT NULL, result JSON NOT NULL, made_at TIMESTAMPTZ NOT NULL,
        made_by VARCHAR NOT NULL""",
    # What people said of an alert; the newest note of each kind counts.
    "alert_notes": """
        alert BIGINT NOT NULL, kind VARCHAR NOT NULL, noted_at TIMESTAMPTZ NOT NULL, noted_by VARCHAR NOT NULL,
        until TIMESTAMPTZ""",
    "audit": """
        id BIGINT PRIMARY KEY, done_at TIMESTAMPTZ NOT NULL, actor VARCHAR NOT NULL, action VARCHAR NOT NULL,
        subject VARCHAR NOT NULL, detail VARCHAR NOT NULL""",
    "health_samples": """
        sampled_at TIMESTAMPTZ NOT NULL, component VARCHAR NOT NULL, state VARCHAR NOT NULL,
        detail VARCHAR NOT NULL""",
    "resource_samples": """
        sampled_at TIMESTAMPTZ PRIMARY KEY, cpu DOUBLE, memory_bytes BIGINT, disk_free_bytes BIGINT, p95_ms DOUBLE""",
    # A frozen snapshot; its files lie in the data directory under `reports/`.
    "reports": """
        id BIGINT PRIMARY KEY, project VARCHAR NOT NULL, made_at TIMESTAMPTZ NOT NULL, made_by VARCHAR NOT NULL,
        since TIMESTAMPTZ NOT NULL, until TIMESTAMPTZ NOT NULL, language VARCHAR NOT NULL, title VARCHAR NOT NULL,
        files JSON NOT NULL, deleted_at TIMESTAMPTZ""",
    "report_links": """
        sha256 VARCHAR PRIMARY KEY, report BIGINT NOT NULL, made_at TIMESTAMPTZ NOT NULL, made_by VARCHAR NOT NULL,
        expires_at TIMESTAMPTZ NOT NULL, revoked_at TIMESTAMPTZ""",
}
SEQUENCES = ("audit_ids", "report_ids")
COLUMNS = {"users": ("language VARCHAR", "email VARCHAR"), "tokens": ("expires_at TIMESTAMPTZ",)}


def upgrade() -> None:
    for name in SEQUENCES:
        op.execute(f"CREATE SEQUENCE {name}")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    for table, added in COLUMNS.items():
        for column in added:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def downgrade() -> None:
    for table, added in COLUMNS.items():
        for column in added:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
    for name in TABLES:
        op.execute(f"DROP TABLE {name}")
    for name in SEQUENCES:
        op.execute(f"DROP SEQUENCE {name}")

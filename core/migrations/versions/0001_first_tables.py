"""The first tables."""

from alembic import op

revision = "0001"
down_revision = None

# No secondary index and no foreign key: DuckDB could then no longer alter the table. Uniqueness that needs a check
# over rows (row ids, labels) is kept by the store, under the one write lock. Each project's rows have a table of
# their own, `rows_<number>`, made with the project.
TABLES = {
    "projects": """
        id VARCHAR PRIMARY KEY, number INTEGER NOT NULL, name VARCHAR NOT NULL, schema JSON NOT NULL,
        source VARCHAR, created_at TIMESTAMPTZ NOT NULL, archived_at TIMESTAMPTZ""",
    "policies": """
        project VARCHAR NOT NULL, version INTEGER NOT NULL, policy JSON NOT NULL, made_at TIMESTAMPTZ NOT NULL,
        made_by VARCHAR NOT NULL, PRIMARY KEY (project, version)""",
    "labels": """
        project VARCHAR NOT NULL, position BIGINT NOT NULL, value VARCHAR NOT NULL, arrived_at TIMESTAMPTZ NOT NULL,
        source VARCHAR NOT NULL""",
    # Labels whose row has not come yet: they wait here.
    "early_labels": """
        project VARCHAR NOT NULL, row_id VARCHAR NOT NULL, value VARCHAR NOT NULL, arrived_at TIMESTAMPTZ NOT NULL,
        source VARCHAR NOT NULL""",
    "label_conflicts": """
        project VARCHAR NOT NULL, row_id VARCHAR NOT NULL, kept VARCHAR NOT NULL, offered VARCHAR NOT NULL,
        arrived_at TIMESTAMPTZ NOT NULL, source VARCHAR NOT NULL""",
    "predictions": """
        project VARCHAR NOT NULL, position BIGINT NOT NULL, version INTEGER NOT NULL, answer VARCHAR NOT NULL,
        probabilities DOUBLE[], predicted_at TIMESTAMPTZ NOT NULL, latency_ms DOUBLE NOT NULL""",
    "batches": """
        id BIGINT PRIMARY KEY, project VARCHAR NOT NULL, source VARCHAR NOT NULL, arrived_at TIMESTAMPTZ NOT NULL,
        first BIGINT NOT NULL, last BIGINT NOT NULL, labels BIGINT NOT NULL, added_by VARCHAR NOT NULL""",
    "models": """
        project VARCHAR NOT NULL, version INTEGER NOT NULL, record JSON NOT NULL, reference BLOB,
        created_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (project, version)""",
    # Append-only: the newest reign of a project is its champion pointer, the older ones say who answered when.
    "reigns": """
        id BIGINT PRIMARY KEY, project VARCHAR NOT NULL, version INTEGER NOT NULL, sha256 VARCHAR NOT NULL,
        began_at TIMESTAMPTZ NOT NULL, decision BIGINT NOT NULL""",
    # What MLflow has been told. It is a mirror: it may be away, and is told later.
    "logged_models": """
        project VARCHAR NOT NULL, version INTEGER NOT NULL, mlflow_run VARCHAR NOT NULL, logged_at TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (project, version)""",
    "mirrored_reigns": "reign BIGINT PRIMARY KEY, mirrored_at TIMESTAMPTZ NOT NULL",
    "decisions": """
        id BIGINT PRIMARY KEY, project VARCHAR NOT NULL, decided_at TIMESTAMPTZ NOT NULL, action VARCHAR NOT NULL,
        actor VARCHAR NOT NULL, policy_version INTEGER, window_number INTEGER, reasons JSON NOT NULL,
        nearest_flip JSON, evidence JSON, memory_before JSON, memory_after JSON, comparison JSON, version INTEGER,
        run BIGINT, cause BIGINT""",
    "drift_scores": """
        decision BIGINT NOT NULL, project VARCHAR NOT NULL, checked_at TIMESTAMPTZ NOT NULL,
        window_number INTEGER NOT NULL, feature VARCHAR NOT NULL, metric VARCHAR NOT NULL, value DOUBLE NOT NULL,
        threshold DOUBLE NOT NULL, drifting BOOLEAN NOT NULL""",
    # A window's scores grow up with its labels: the newest measurement of a window supersedes the older ones.
    "performances": """
        project VARCHAR NOT NULL, window_number INTEGER NOT NULL, first BIGINT NOT NULL, last BIGINT NOT NULL,
        maturity DOUBLE NOT NULL, scores JSON NOT NULL, version INTEGER, measured_at TIMESTAMPTZ NOT NULL""",
    "plays": """
        project VARCHAR PRIMARY KEY, source VARCHAR NOT NULL, rows_per_tick INTEGER NOT NULL,
        label_delay_rows INTEGER NOT NULL, playing BOOLEAN NOT NULL, changed_at TIMESTAMPTZ NOT NULL""",
    # A row an attempt: a retry has the id of its run and the next attempt number, so the newest row tells how it stands.
    "runs": """
        id BIGINT NOT NULL, attempt INTEGER NOT NULL, job VARCHAR NOT NULL, project VARCHAR, arguments JSON NOT NULL,
        requested_by VARCHAR NOT NULL, requested_at TIMESTAMPTZ NOT NULL, due_at TIMESTAMPTZ NOT NULL,
        started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, outcome VARCHAR NOT NULL, message VARCHAR NOT NULL,
        progress VARCHAR NOT NULL, PRIMARY KEY (id, attempt)""",
    # When a job last fell due by its timetable (project is '' where it has none): kept apart from the runs, which are pruned.
    "job_turns": """
        job VARCHAR NOT NULL, project VARCHAR NOT NULL, turn_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (job, project)""",
    "job_states": """
        job VARCHAR PRIMARY KEY, paused BOOLEAN NOT NULL, changed_at TIMESTAMPTZ NOT NULL,
        changed_by VARCHAR NOT NULL""",
    "heartbeats": "component VARCHAR PRIMARY KEY, beat_at TIMESTAMPTZ NOT NULL, detail VARCHAR NOT NULL",
    "alerts": """
        id BIGINT PRIMARY KEY, raised_at TIMESTAMPTZ NOT NULL, severity VARCHAR NOT NULL, reason JSON NOT NULL,
        project VARCHAR, decision BIGINT""",
    "deliveries": """
        alert BIGINT NOT NULL, channel VARCHAR NOT NULL, attempt INTEGER NOT NULL, attempted_at TIMESTAMPTZ NOT NULL,
        outcome VARCHAR NOT NULL, detail VARCHAR NOT NULL, next_at TIMESTAMPTZ, PRIMARY KEY (alert, channel, attempt)""",
    "users": """
        name VARCHAR PRIMARY KEY, display VARCHAR NOT NULL, role VARCHAR NOT NULL, password_hash VARCHAR NOT NULL,
        created_at TIMESTAMPTZ NOT NULL, disabled_at TIMESTAMPTZ""",
    "sign_ins": """
        name VARCHAR NOT NULL, address VARCHAR NOT NULL, tried_at TIMESTAMPTZ NOT NULL, succeeded BOOLEAN NOT NULL""",
    # Cookies that were signed out before they ran out: a copy of one opens nothing any more.
    "signed_out": "sha256 VARCHAR PRIMARY KEY, signed_out_at TIMESTAMPTZ NOT NULL",
    "tokens": """
        id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, role VARCHAR NOT NULL, sha256 VARCHAR NOT NULL,
        created_at TIMESTAMPTZ NOT NULL, created_by VARCHAR NOT NULL, revoked_at TIMESTAMPTZ""",
}
SEQUENCES = ("project_numbers", "batch_ids", "reign_ids", "decision_ids", "run_ids", "alert_ids")


def upgrade() -> None:
    for name in SEQUENCES:
        op.execute(f"CREATE SEQUENCE {name}")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")


def downgrade() -> None:
    for name in TABLES:
        op.execute(f"DROP TABLE {name}")
    for name in SEQUENCES:
        op.execute(f"DROP SEQUENCE {name}")

"""What runs by itself. To add a job: write its file here and name it in JOBS."""

from jobs import (
    backtest,
    backup,
    cycle,
    deliver_alerts,
    fire_drill,
    import_file,
    mirror_registry,
    play,
    prune,
    report,
    retrain,
    sample_health,
    weekly_report,
)
from jobs.job import Job

JOBS: tuple[Job, ...] = (
    deliver_alerts.JOB,
    play.JOB,
    cycle.JOB,
    retrain.JOB,
    backtest.JOB,
    import_file.JOB,
    mirror_registry.JOB,
    sample_health.JOB,
    report.JOB,
    weekly_report.JOB,
    prune.JOB,
    backup.JOB,
    fire_drill.JOB,
)

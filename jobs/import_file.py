"""Read and store a file that was uploaded."""

from core import uploads
from core.context import Context
from core.words import mark
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    return uploads.import_file(
        ctx, run.user, run.of, run.arguments["upload"], name=run.arguments["name"],
        labels_only=run.arguments["labels_only"], now=run.now(), progress=run.progress,
    )  # fmt: skip


# No retry: the upload is deleted once read, and what was refused would be refused again.
JOB = Job("import_file", mark("Import a file"), run, per_project=True, retries=0)

"""Files that were handed over: kept under a name of our own until the import job has read them."""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pandas as pd

from core import auth, ingest, reading, runs
from core.context import Context
from core.errors import InvalidInput, NotFound
from core.records import Project, Role, User


def keep(ctx: Context, user: User, file: BinaryIO, name: str) -> str:
    """Copy the file into the data directory; returns the id under which it lies there."""
    auth.require(ctx, user, Role.OPERATOR)
    upload = uuid4().hex + (".parquet" if name.lower().endswith((".parquet", ".pq")) else ".csv")
    folder = ctx.settings.data_dir / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    file.seek(0)
    with (folder / upload).open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
    return upload


def request_import(
    ctx: Context, user: User, project: Project, file: BinaryIO, name: str, *, labels_only: bool = False, now: datetime
) -> int:
    """Import the file in the background; returns the run to watch."""
    upload = keep(ctx, user, file, name)
    arguments = {"upload": upload, "name": name, "labels_only": labels_only}
    return runs.request(ctx, user, "import_file", project.id, arguments, now=now)


def import_file(
    ctx: Context,
    user: User,
    project: Project,
    upload: str,
    *,
    name: str,
    labels_only: bool,
    now: datetime,
    progress: Callable[[str], None],
) -> str:
    """Read and store an uploaded file, all of it or nothing; returns what became of it, in a sentence."""
    path = _path(ctx, upload)
    try:
        frames = reading.frames(path, name, max_bytes=ctx.settings.upload_megabytes * 1_000_000)
        if labels_only:
            recorded = ingest.record_labels(
                ctx, user, project, pd.concat(list(frames), ignore_index=True), source=name, now=now
            )
            return (
                f"{recorded.recorded:,} labels recorded, {recorded.repeated:,} known already, "
                f"{recorded.conflicting:,} in conflict, {recorded.waiting:,} waiting for their row"
            )

        def counted() -> Iterator[pd.DataFrame]:
            read = 0
            for frame in frames:
                read += len(frame)
                progress(f"{read:,} rows read")
                yield frame

        receipt = ingest.ingest(ctx, user, project, counted(), source=name, now=now)
        notes = "".join(f". {warning}" for warning in receipt.warnings)
        return (
            f"{receipt.rows:,} rows stored, {receipt.labels:,} with their label, {receipt.answered:,} answered{notes}"
        )
    finally:
        path.unlink(missing_ok=True)


def _path(ctx: Context, upload: str) -> Path:
    if not upload.replace(".", "").isalnum():
        raise InvalidInput(f"{upload!r} is no upload")
    path = ctx.settings.data_dir / "uploads" / upload
    if not path.exists():
        raise NotFound("The uploaded file is gone. Upload it again")
    return path

"""What a job is, and what a run of it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.context import Context
from core.records import Project, User
from core.settings import Settings


class Stopping(BaseException):
    """Raised out of `Run.progress` when the app stops. No Exception: it is no failure that a job may handle."""


class Cancelled(BaseException):
    """Raised out of `Run.progress` when somebody cancelled the run; how it ended is written already."""


@dataclass(frozen=True)
class Run:
    """One attempt of a job. ``project`` is set when the job is per project; ``user`` is who asked for it.

    ``progress`` keeps a sentence for whoever watches. Call it often in long work: it is where a run ends on stop, or when cancelled.
    """

    id: int
    attempt: int
    project: Project | None
    arguments: Mapping[str, Any]
    user: User
    now: Callable[[], datetime]
    progress: Callable[[str], None]

    @property
    def of(self) -> Project:
        """The project of a job that is per project; the scheduler starts none without."""
        if self.project is None:
            raise LookupError("this job is about no project")
        return self.project


@dataclass(frozen=True)
class Job:
    """``run`` returns what happened in a sentence, or raises: then it is tried again ``retries`` times.

    ``every`` is None for a job that runs on request only. ``has_work`` says cheaply whether a turn is worth a run;
    without one it always is. A job never overlaps itself on one project, nor the jobs that name the same ``lane``; it
    runs on ``at_once`` projects at a time.
    A run that takes longer than ``patience`` is reported, not killed.
    """

    name: str
    label: str
    run: Callable[[Context, Run], str]
    every: Callable[[Settings], timedelta] | None = None
    per_project: bool = False
    has_work: Callable[[Context, str | None, datetime], bool] | None = None
    retries: int | None = None  # None: as TASK_RETRIES says
    enabled_by_default: bool = True
    lane: str = ""  # "": its own name
    at_once: int = 2
    patience: timedelta = timedelta(minutes=30)

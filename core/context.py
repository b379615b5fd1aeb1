"""What the verbs need, gathered in one place; tests build their own."""

import sys
import threading
from dataclasses import dataclass, field

from core import channels
from core.channels.base import Channel
from core.db import Database
from core.migrations import migrate
from core.prediction_log import PredictionLog
from core.serving import ModelCache
from core.settings import Settings, load

# Hot reload makes a second copy of every module; what there must be one of in the process lives outside them.
_process: dict = sys.__dict__.setdefault("_continual_ml", {})  # type: ignore[type-arg]
_lock: threading.Lock = _process.setdefault("lock", threading.Lock())


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    channels: tuple[Channel, ...]
    log: PredictionLog
    models: ModelCache
    _thinking: dict[str, threading.Lock] = field(default_factory=dict)

    def thinking(self, project: str) -> threading.Lock:
        """The lock of whoever judges or changes this project's champion."""
        return self._thinking.setdefault(project, threading.Lock())

    def close(self) -> None:
        """Write what waits, and let go of the database."""
        self.log.close()
        self.database.close()


def opened(settings: Settings) -> Context:
    """A context over this data directory, its schema brought up to date.

    Raises StorageBusy when another process holds the database, StorageFailed when its schema cannot be trusted.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate(settings.database_path)
    database = Database(settings.database_path)
    return Context(settings, database, channels.opened(settings), PredictionLog(database), ModelCache())


def current() -> Context:
    """The context of this process, opened when first asked for."""
    with _lock:
        if "context" not in _process:
            _process["context"] = opened(load())
        return _process["context"]


def close_current() -> None:
    with _lock:
        if (ctx := _process.pop("context", None)) is not None:
            ctx.close()

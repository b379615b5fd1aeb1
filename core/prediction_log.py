"""What was answered, on its way to the database: batched off the request path, flushed on stop.

Handing an arrival over takes a microsecond; a thread writes what has gathered, 0.2 s later at most, one
transaction for all of it. One INSERT a request would cost 3 ms of the request's time.
"""

import threading
from collections import deque

import pandas as pd
from loguru import logger

from core import recent
from core.db import Database
from core.errors import ContinualError
from core.records import Project
from core.store import arrivals, rows
from core.store.arrivals import Arrival

WAIT_SECONDS = 0.2
MOST_WAITING = 100_000  # arrivals; beyond that the caller writes by itself, and so slows down


class PredictionLog:
    """Arrivals waiting to be written. ``flush`` writes them now; ``close`` flushes and ends the thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Arrival] = deque()
        self._newest: dict[str, pd.DataFrame] = {}  # what `before` tells of a project
        self._noting = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def before(self, project: Project) -> pd.DataFrame:
        """The newest rows of the project, written or waiting: as many as `recent.ROWS`."""
        with self._noting:
            if (known := self._newest.get(project.id)) is not None:
                return known
        self.flush()
        with self._database.read() as con:
            last = rows.count(con, project.id)
            found = rows.span(con, project.id, project.schema, max(0, last - recent.ROWS), last)
        with self._noting:
            return self._newest.setdefault(project.id, found)

    def forget(self, project: Project) -> None:
        """Rows have come in past this log: read anew what came `before`."""
        with self._noting:
            self._newest.pop(project.id, None)

    def add(self, arrival: Arrival) -> None:
        with self._noting:
            self._waiting.append(arrival)
            if (known := self._newest.get(arrival.project)) is not None:
                self._newest[arrival.project] = pd.concat([known, arrival.features]).iloc[-recent.ROWS :]
        if len(self._waiting) >= MOST_WAITING or self._closed:
            self.flush()
        elif self._thread is None:
            self._start()
        self._wake.set()

    def flush(self) -> int:
        """Write what waits; return how many arrivals. What could not be written waits on."""
        with self._flushing:
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not batch:
                return 0
            try:
                with self._database.write() as con:
                    for arrival in batch:
                        arrivals.write(con, arrival)
            except BaseException:
                self._waiting.extendleft(reversed(batch))
                raise
            return len(batch)

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _start(self) -> None:
        with self._flushing:
            if self._thread is None:
                # Not a daemon: a thread inside DuckDB at interpreter exit aborts the process.
                self._thread = threading.Thread(target=self._write_on, name="prediction-log")
                self._thread.start()

    def _write_on(self) -> None:
        main = threading.main_thread()
        while not self._closed and main.is_alive():
            self._wake.wait(timeout=1.0)
            self._wake.clear()
            if self._waiting and not self._closed:
                threading.Event().wait(WAIT_SECONDS)
                try:
                    self.flush()
                except ContinualError as error:
                    logger.error("predictions wait to be written: {}", error)
        self.flush()

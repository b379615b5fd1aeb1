"""Fit a model in a worker process: low priority, one thread, a time limit; the server goes on answering."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from core import worker
from core.backtest import Recorded
from core.context import Context
from core.errors import TrainingFailed
from core.policy import Policy
from core.records import Estimate, ModelVersion, Project
from core.store.codec import dump

ROOT = Path(__file__).parent.parent
BACKTEST_SECONDS = 3600.0
FEWER_ROWS = "Raise CONTINUAL_FIT_SECONDS, or train on fewer rows"
MOST_MEMORY = 8 << 30


def fit(
    ctx: Context,
    hand: "Worker",
    project: Project,
    features: pd.DataFrame,
    labels: "pd.Series[Any]",
    *,
    version: int,
    first: int,
    last: int,
    estimator: str,
    seed: int,
    now: datetime,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[ModelVersion, bytes]:
    """A new version fitted on these labelled rows (positions in ``[first, last)``), and the drift reference of them.

    Its files lie in the data directory; the caller registers it, and has made sure
    that the labels make a model (`core.turn.challenge`). Raises TrainingFailed.
    """
    home = Path("models") / project.id / f"v{version}"
    with _scratch(ctx, f"{project.id}-v{version}") as scratch:
        _numbered(features).assign(label=labels.to_numpy()).to_parquet(scratch / worker.ROWS, index=False)
        task = _task("fit", scratch, project, estimator, seed)
        told = hand.ask(task, seconds=ctx.settings.fit_seconds, progress=progress, when_late=FEWER_ROWS)
        reference = (scratch / "reference.bin").read_bytes()
        target = ctx.settings.data_dir / home
        shutil.rmtree(target, ignore_errors=True)  # an orphan of a fit that was never registered
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.rename(target)
    model = ModelVersion(
        project.id, version, estimator, now, home.as_posix(), told["sha256"], len(labels), first, last,
        told["data_hash"], told["seconds"], seed, tuple(Estimate(**score) for score in told["scores"]),
    )  # fmt: skip
    return model, reference


def yardstick(
    ctx: Context,
    hand: "Worker",
    project: Project,
    features: pd.DataFrame,
    labels: "pd.Series[Any]",
    asked: pd.DataFrame,
    *,
    estimator: str,
    seed: int,
    progress: Callable[[str], None] = lambda text: None,
) -> NDArray[Any]:
    """What a light model of this kind, fitted on these labelled rows, says of the rows ``asked``. Raises TrainingFailed."""
    with _scratch(ctx, f"{project.id}-yardstick") as scratch:
        _numbered(features).assign(label=labels.to_numpy()).to_parquet(scratch / worker.ROWS, index=False)
        _numbered(asked).to_parquet(scratch / worker.ASKED, index=False)
        task = _task("yardstick", scratch, project, estimator, seed)
        hand.ask(task, seconds=ctx.settings.fit_seconds, progress=progress, when_late=FEWER_ROWS)
        said = pd.read_parquet(scratch / worker.SAID)["said"]
    return said.to_numpy(dtype=object if project.schema.task.is_classification else float)


def backtest(
    ctx: Context,
    hand: "Worker",
    project: Project,
    history: Recorded,
    policy: Policy,
    *,
    label_delay: int | None,
    draft: Policy | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> str:
    """What the policies come to on this history: a `core.backtest.Backtest` as JSON. Raises TrainingFailed."""
    with _scratch(ctx, f"{project.id}-backtest") as scratch:
        frame = _numbered(history.features).assign(label=history.labels.to_numpy(), usable=history.usable)
        frame.to_parquet(scratch / worker.ROWS, index=False)
        task = _task("backtest", scratch, project, policy.estimator, seed) | {
            "policy": policy.to_json(), "label_delay": label_delay, "in_bulk": history.in_bulk,
            "first_window": history.first_window, "draft": draft.to_json() if draft else None,
        }  # fmt: skip
        hand.ask(task, seconds=BACKTEST_SECONDS, progress=progress, when_late="Try fewer policies, or longer windows")
        return (scratch / worker.RESULT_FILE).read_text(encoding="utf-8")


def _task(name: str, scratch: Path, project: Project, estimator: str, seed: int) -> dict[str, Any]:
    """What the worker is told; the rows lie in the folder."""
    folder = str(scratch.resolve())
    return {"task": name, "folder": folder, "schema": dump(project.schema), "estimator": estimator, "seed": seed}


def _numbered(features: pd.DataFrame) -> pd.DataFrame:
    """No name of a user's reaches a file."""
    return features.set_axis([f"f{i}" for i in range(features.shape[1])], axis=1)


@contextmanager
def _scratch(ctx: Context, name: str) -> Iterator[Path]:
    """A folder for one task, swept away afterwards."""
    folder = ctx.settings.data_dir / "work" / f"{name}-{os.getpid()}-{threading.get_ident()}"
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Workers that wait for their next piece of work. Outside the module: hot reload makes a second copy of those.
_idle: list["Worker"] = sys.__dict__.setdefault("_continual_ml", {}).setdefault("idle_workers", [])


@contextmanager
def worker_process() -> Iterator["Worker"]:
    """A worker to oneself. Starting its process costs seconds of imports, so afterwards it waits for whoever comes next."""
    try:
        hand = _idle.pop()
    except IndexError:
        hand = Worker()
    try:
        yield hand
    finally:
        _idle.append(hand)


class Worker:
    """A worker process that is started with its first task and takes one after the other; `close` ends it.

    A task that fails, or that takes longer than its time, ends the process, and so does idleness; the next task starts
    another.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(
        self,
        task: dict[str, Any],
        *,
        seconds: float,
        progress: Callable[[str], None] = lambda text: None,
        when_late: str = "It is tried again",
    ) -> dict[str, Any]:
        """What the worker answers to the task. Raises TrainingFailed with why it did not, and ``when_late`` as the way out."""
        if self._process and self._process.poll() is not None:  # it was idle for long
            self.close()
        process = self._process = self._process or _started()
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            answer, error = _conversation(process, task, progress)
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
        if answer is not None:
            return answer
        code = self.close()
        if late.is_set():
            raise TrainingFailed(f"The worker took longer than {seconds:g} s and was ended. {when_late}")
        if error is not None:
            raise TrainingFailed(f"The worker failed: {error}")
        how = (
            f"was killed by {signal.Signals(-code).name} (often: not enough memory)"
            if code < 0
            else f"ended with code {code}"
        )
        raise TrainingFailed(f"The worker process {how}. The champion stays")

    def close(self) -> int:
        """End the process; its exit code, negative when a signal ended it before."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.stdin:
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
        try:
            return process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            if process.stdout:
                process.stdout.close()


def _conversation(
    process: "subprocess.Popen[str]", task: dict[str, Any], progress: Callable[[str], None]
) -> tuple[dict[str, Any] | None, str | None]:
    """Send the task, forward what the worker says, and return its answer or its error; neither if it died."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None, None
    for line in process.stdout:
        text = line.rstrip("\n")
        if text.startswith(worker.RESULT):
            return json.loads(text.removeprefix(worker.RESULT)), None
        if text.startswith(worker.ERROR):
            return None, text.removeprefix(worker.ERROR)
        if text:
            progress(text)
    return None, None


def _started() -> "subprocess.Popen[str]":
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CONTINUAL_ADMIN", "DISCORD"))}
    env["PYTHONPATH"] = str(ROOT)
    return subprocess.Popen(
        [sys.executable, "-m", "core.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=env, cwd=ROOT, text=True, preexec_fn=_humble if sys.platform == "linux" else None,
    )  # fmt: skip


def _humble() -> None:
    """In the child before it starts: low priority, bounded memory."""
    import resource

    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

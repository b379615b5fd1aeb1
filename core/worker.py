"""What runs in the worker process: tasks, a line of JSON each, from standard input until it ends.

It ends by itself when nothing is asked for a while, and when the process that started it is gone. It is given files and
gives files back; it never opens the database. Lines on standard output are progress; the last
one of a task starts with RESULT and holds the answer, or with ERROR and a sentence, and then the process ends.
"""

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import ContinualError

RESULT, ERROR = "RESULT ", "ERROR "
ROWS = "rows.parquet"  # the training rows, until MLflow has taken note of them
RESULT_FILE = "result.json"
ASKED, SAID = "asked.parquet", "said.parquet"  # rows to answer, and the answers
IDLE_SECONDS = 120.0
HELD_OUT = 0.2  # the newest share of the training rows, on which the version is scored before it is fitted on all


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def fit(task: dict[str, Any]) -> dict[str, Any]:
    """Fit a pipeline, score it on rows it had not seen, and save it beside the drift reference of its rows."""
    import pandas as pd

    from core import drift, estimators, performance, serving
    from core.records import Estimate, Schema
    from core.store.codec import dump, load

    Scores = tuple[Estimate, ...]  # noqa: N806
    folder, schema = Path(task["folder"]), load(Schema, task["schema"])
    frame = pd.read_parquet(folder / ROWS)
    features, labels = conformed(frame, schema), frame["label"].astype(object if schema.classes else float)
    began = time.perf_counter()
    scores: Scores = ()
    cut = round(len(frame) * (1 - HELD_OUT))
    if labels[:cut].nunique() > 1:
        say("scoring on the newest fifth of the rows")
        trial = estimators.build(task["estimator"], schema, task["seed"]).fit(features[:cut], labels[:cut])
        said, probabilities = estimators.answers(trial, features[cut:], schema)
        scores = performance.score(labels[cut:].reset_index(drop=True), pd.Series(said), probabilities, schema)
    say(f"fitting on {len(frame):,} rows")
    pipeline = estimators.build(task["estimator"], schema, task["seed"]).fit(features, labels)
    seconds = time.perf_counter() - began
    said, _ = estimators.answers(pipeline, features, schema)
    answered = drift.with_answers(features[schema.names], schema, label=labels, prediction=said)
    (folder / "reference.bin").write_bytes(drift.reference(answered, schema).to_bytes())
    sha256 = serving.save(pipeline, folder)
    sync(folder)
    with (folder / ROWS).open("rb") as file:
        data_hash = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "seconds": seconds, "data_hash": data_hash, "scores": json.loads(dump(scores, Scores))}


def yardstick(task: dict[str, Any]) -> dict[str, Any]:
    """Fit a light pipeline and let it answer other rows; nothing of it is kept."""
    import pandas as pd

    from core import estimators
    from core.records import Schema
    from core.store.codec import load

    folder, schema = Path(task["folder"]), load(Schema, task["schema"])
    frame = pd.read_parquet(folder / ROWS)
    labels = frame["label"].astype(object if schema.classes else float)
    pipeline = estimators.yardstick(task["estimator"], schema, task["seed"]).fit(conformed(frame, schema), labels)
    said, _ = estimators.answers(pipeline, conformed(pd.read_parquet(folder / ASKED), schema), schema)
    pd.DataFrame({"said": said}).to_parquet(folder / SAID)
    return {}


def backtest(task: dict[str, Any]) -> dict[str, Any]:
    """Play the policies over a history; what came of it lies in `RESULT_FILE`."""
    import numpy as np
    import pandas as pd

    from core import backtest
    from core.policy import Policy
    from core.records import Schema
    from core.store.codec import dump, load

    folder, schema = Path(task["folder"]), load(Schema, task["schema"])
    frame = pd.read_parquet(folder / ROWS)
    labels = frame["label"].astype(object if schema.classes else float)
    test = backtest.compare(
        conformed(frame, schema),
        labels.where(labels.notna(), None) if schema.classes else labels,
        schema,
        Policy.from_json(task["policy"]),
        label_delay=task["label_delay"] or 0,
        usable=frame["usable"].to_numpy(dtype=np.int64) if task["label_delay"] is None else None,
        in_bulk=task["in_bulk"],
        first_window=task["first_window"],
        draft=Policy.from_json(task["draft"]) if task["draft"] else None,
        seed=task["seed"],
        progress=lambda name, done, windows: say(f"{name} {done}/{windows}"),
    )
    (folder / RESULT_FILE).write_text(dump(test), encoding="utf-8")
    return {}


def log(task: dict[str, Any]) -> dict[str, Any]:
    """Log a version that was fitted before to MLflow, and register its model there."""
    import pandas as pd

    from core import registry, serving
    from core.records import ModelVersion, Schema
    from core.store.codec import load

    folder, model, schema = Path(task["folder"]), load(ModelVersion, task["model"]), load(Schema, task["schema"])
    say(f"logging v{model.version} of {model.project} to MLflow")
    frame = pd.read_parquet(folder / ROWS)
    rows = conformed(frame, schema).assign(**{schema.target: frame["label"]})
    run = registry.log(
        task["tracking_uri"],
        Path(task["artifacts"]),
        model,
        serving.load(model, Path(task["data_dir"])),
        rows,
        target=schema.target,
        span=task["span"],
    )
    return {"run": run}


def mirror(task: dict[str, Any]) -> dict[str, Any]:
    """Bring MLflow's champion aliases into line."""
    from core import registry

    return {"missing": registry.mirror(task["tracking_uri"], task["champions"])}


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "fit": fit,
    "yardstick": yardstick,
    "backtest": backtest,
    "log": log,
    "mirror": mirror,
}


def conformed(frame: Any, schema: Any) -> Any:
    """The feature columns (numbered in the file) under their names, in canonical types; recent medians where they follow."""
    from core import recent
    from core.records import Kind

    numbered = [name for name in frame.columns if name.startswith("f")]
    features = frame[numbered].set_axis([*schema.names, *recent.names(schema).values()][: len(numbered)], axis=1)
    texts = [column.name for column in schema.features if column.kind is Kind.CATEGORICAL]
    features[texts] = features[texts].astype(object).where(features[texts].notna(), None)
    return features


def sync(folder: Path) -> None:
    """Make sure what was written is on the disk before anyone relies on it."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def answer(line: str) -> bool:
    """Do the task of this line and say what came of it; whether it went well."""
    task = json.loads(line)
    try:
        told = TASKS[task["task"]](task)
    except ContinualError as error:
        say(ERROR + str(error))
        return False
    except MemoryError:
        say(ERROR + "there was not enough memory")
        return False
    except Exception as error:
        say(ERROR + f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return False
    say(RESULT + json.dumps(told))
    return True


def main() -> int:
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    while line := _next_line():
        if not answer(line):
            return 1
    return 0


def _next_line() -> str:
    idle = threading.Timer(IDLE_SECONDS, os._exit, (0,))
    idle.daemon = True
    idle.start()
    try:
        return sys.stdin.readline()
    finally:
        idle.cancel()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())

"""What runs in the worker process: tasks, a line of JSON each, from standard input until it ends.

It is given files and gives files back; it never opens the database. Lines on standard output are progress; the last
one of a task starts with RESULT and holds the answer, or with ERROR and a sentence, and then the process ends.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULT, ERROR = "RESULT ", "ERROR "
HELD_OUT = 0.2  # the newest share of the training rows, on which the version is scored before it is fitted on all


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def fit(task: dict[str, Any]) -> dict[str, Any]:
    """Fit a pipeline, score it on rows it had not seen, save it, and log it to MLflow."""
    import pandas as pd

    from core import drift, estimators, performance, registry, serving
    from core.records import Schema
    from core.store.codec import dump, load

    folder, schema = Path(task["folder"]), load(Schema, task["schema"])
    frame = pd.read_parquet(folder / "rows.parquet")
    features, labels = conformed(frame, schema), frame["label"].astype(object if schema.classes else float)
    began = time.perf_counter()
    scores: tuple[Any, ...] = ()
    cut = round(len(frame) * (1 - HELD_OUT))
    if task["score"] and labels[:cut].nunique() > 1:
        say("scoring on the newest fifth of the rows")
        trial = estimators.build(task["estimator"], schema, task["seed"]).fit(features[:cut], labels[:cut])
        said, probabilities = serving.answers(trial, features[cut:], schema)
        scores = performance.score(labels[cut:].reset_index(drop=True), pd.Series(said), probabilities, schema)
    say(f"fitting on {len(frame):,} rows")
    pipeline = estimators.build(task["estimator"], schema, task["seed"]).fit(features, labels)
    seconds = time.perf_counter() - began
    (folder / "reference.bin").write_bytes(drift.reference(features, schema).to_bytes())
    sha256 = serving.save(pipeline, folder)
    (folder / "manifest.json").write_text(json.dumps({"sha256": sha256, "version": task["version"]}))
    sync(folder)
    data_hash = hashlib.file_digest((folder / "rows.parquet").open("rb"), "sha256").hexdigest()
    run = None
    if task["log"]:
        say("logging to MLflow")
        try:
            run = registry.log(
                task["tracking_uri"], Path(task["artifacts"]), task["project"], task["version"], pipeline,
                features.assign(**{schema.target: labels}), target=schema.target,
                params={"estimator": task["estimator"], "seed": task["seed"], "rows": len(frame),
                        "first": task["first"], "last": task["last"]},
                metrics=scores, tags={"data_sha256": data_hash, "rows_from": task["span"][0], "rows_to": task["span"][1]},
                seconds=seconds,
            )  # fmt: skip
        except Exception as error:  # MLflow is a log: a model that is fitted and saved is not lost with it
            say(f"MLflow could not take the run ({type(error).__name__}); the model is kept")
    return {
        "sha256": sha256, "seconds": seconds, "data_hash": data_hash, "mlflow_run": run,
        "scores": json.loads(dump(scores, tuple[Any, ...])),
        "estimator": task["estimator"],
    }  # fmt: skip


def mirror(task: dict[str, Any]) -> dict[str, Any]:
    """Bring MLflow's champion aliases into line."""
    from core import registry

    return {"missing": registry.mirror(task["tracking_uri"], task["champions"])}


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"fit": fit, "mirror": mirror}


def conformed(frame: Any, schema: Any) -> Any:
    """The feature columns (numbered in the file) under their names, in canonical types."""
    from core.records import Kind

    features = frame[[f"f{i}" for i in range(len(schema.features))]].set_axis(schema.names, axis=1)
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
    except MemoryError:
        say(ERROR + "there was not enough memory")
        return False
    except Exception as error:
        say(ERROR + f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return False
    say(RESULT + json.dumps(told))
    return True


def main() -> int:
    from core.settings import quiet_libraries

    quiet_libraries()
    return 0 if all(answer(line) for line in sys.stdin) else 1


if __name__ == "__main__":
    sys.exit(main())

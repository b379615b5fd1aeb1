"""MLflow: what was trained, on what, how good; and which version is champion. The only module that imports it.

Runs inside the worker process only: importing MLflow takes seconds and 160 MB, and a locked store blocks for 21 s.
MLflow keeps the log; the truth about the champion is in DuckDB, and `mirror` brings the aliases into line with it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from core.estimators import TRUSTED_TYPES
from core.records import Estimate


def registered_name(project: str) -> str:
    return f"continual-{project}"


def _experiment(client: Any, project: str, artifacts: Path) -> str:
    name = registered_name(project)
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    return client.create_experiment(name, artifact_location=(artifacts / project).resolve().as_uri())


def log(
    tracking_uri: str,
    artifacts: Path,
    project: str,
    version: int,
    pipeline: Any,
    frame: pd.DataFrame,
    *,
    target: str,
    params: Mapping[str, Any],
    metrics: tuple[Estimate, ...],
    tags: Mapping[str, str],
    seconds: float,
) -> str:
    """Log the run and register its model; return the run's id. ``frame`` holds the training rows with the target."""
    import mlflow
    import mlflow.data.pandas_dataset as datasets
    import sklearn
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    experiment = _experiment(client, project, artifacts)
    features = frame.drop(columns=target)
    sample = features.head(200)
    with mlflow.start_run(experiment_id=experiment, run_name=f"v{version}") as run:
        mlflow.log_params(dict(params))
        mlflow.set_tags({**tags, "continual.project": project, "continual.version": str(version)})
        mlflow.log_metrics(
            {"fit_seconds": seconds}
            | {
                f"{estimate.metric}{suffix}": value
                for estimate in metrics
                for suffix, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high))
            }
        )
        mlflow.log_input(datasets.from_pandas(frame, name=f"{project}-v{version}", targets=target), context="training")
        info = mlflow.sklearn.log_model(
            pipeline, name="model", signature=infer_signature(sample, pipeline.predict(sample)),
            registered_model_name=registered_name(project), pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
            skops_trusted_types=list(TRUSTED_TYPES),
        )  # fmt: skip
        client.set_model_version_tag(
            registered_name(project), info.registered_model_version, "continual.version", str(version)
        )
        client.set_registered_model_alias(registered_name(project), "challenger", info.registered_model_version)
        return str(run.info.run_id)


def mirror(tracking_uri: str, champions: Mapping[str, int]) -> list[str]:
    """Point each project's ``champion`` alias at its version; end runs a killed process left open.

    Returns what could not be mirrored, because MLflow was not there when the version was trained.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    missing = []
    for project, version in champions.items():
        name = registered_name(project)
        found = client.search_model_versions(f"name = '{name}' and tags.`continual.version` = '{version}'")
        if not found:
            missing.append(f"{project} v{version}")
            continue
        client.set_registered_model_alias(name, "champion", found[0].version)
        aliases = client.get_registered_model(name).aliases
        if str(aliases.get("challenger")) == str(found[0].version):
            client.delete_registered_model_alias(name, "challenger")
    _end_stale_runs(client)
    return missing


def _end_stale_runs(client: Any) -> None:
    """No run is open while the mirror works: the worker does one thing at a time. What is still RUNNING was killed."""
    experiments = [e.experiment_id for e in client.search_experiments() if e.name.startswith("continual-")]
    for run in client.search_runs(experiments, "attributes.status = 'RUNNING'") if experiments else []:
        client.set_terminated(run.info.run_id, status="KILLED")

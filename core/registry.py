"""MLflow: what was trained, on what, how good; and which version is champion. The only module that imports it.

Runs inside the worker process only: importing MLflow takes seconds and 160 MB, and a locked store blocks for 21 s.
MLflow keeps the log; the truth about the champion is in DuckDB, and `mirror` brings the aliases into line with it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from core.estimators import TRUSTED_TYPES
from core.records import ModelVersion

VERSION_TAG = "continual.version"


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
    model: ModelVersion,
    pipeline: Any,
    frame: pd.DataFrame,
    *,
    target: str,
    span: tuple[str, str],
) -> str:
    """Log the version as a run and register its model; return the run's id.

    ``frame`` holds the training rows with the target, ``span`` the times of the first and the last of them. A version
    that is known already is not logged twice.
    """
    import mlflow
    import mlflow.data.pandas_dataset as datasets
    import sklearn
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    name = registered_name(model.project)
    if known := _found(client, name, model.version):
        return str(known.run_id)
    sample = frame.drop(columns=target).head(200)
    metrics = {"fit_seconds": model.seconds}
    for score in model.scores:
        metrics |= {score.metric: score.value, f"{score.metric}_low": score.low, f"{score.metric}_high": score.high}
    facts = {
        "estimator": model.estimator,
        "seed": model.seed,
        "rows": model.rows,
        "first": model.first,
        "last": model.last,
    }
    tags = {
        "continual.project": model.project, "continual.version": str(model.version), "data_sha256": model.data_hash,
        "rows_from": span[0], "rows_to": span[1],
    }  # fmt: skip
    experiment = _experiment(client, model.project, artifacts)
    with mlflow.start_run(experiment_id=experiment, run_name=f"v{model.version}") as run:
        mlflow.log_params(facts)
        mlflow.set_tags(tags)
        mlflow.log_metrics(metrics)
        dataset = datasets.from_pandas(frame, name=f"{model.project}-v{model.version}", targets=target)
        mlflow.log_input(dataset, context="training")
        info = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            signature=infer_signature(sample, pipeline.predict(sample)),
            registered_model_name=name,
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
            skops_trusted_types=list(TRUSTED_TYPES),
        )
        client.set_model_version_tag(name, info.registered_model_version, VERSION_TAG, str(model.version))
        client.set_registered_model_alias(name, "challenger", info.registered_model_version)
        return str(run.info.run_id)


def _found(client: Any, name: str, version: int) -> Any:
    """MLflow's version that mirrors this one of ours; None when it has none."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{VERSION_TAG}` = '{version}'")
    return found[0] if found else None


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
        found = _found(client, name, version)
        if found is None:
            missing.append(f"{project} v{version}")
            continue
        client.set_registered_model_alias(name, "champion", found.version)
        aliases = client.get_registered_model(name).aliases
        if str(aliases.get("challenger")) == str(found.version):
            client.delete_registered_model_alias(name, "challenger")
    _end_stale_runs(client)
    return missing


def _end_stale_runs(client: Any) -> None:
    """No run is open while the mirror works: the worker does one thing at a time. What is still RUNNING was killed."""
    experiments = [e.experiment_id for e in client.search_experiments() if e.name.startswith("continual-")]
    for run in client.search_runs(experiments, "attributes.status = 'RUNNING'") if experiments else []:
        client.set_terminated(run.info.run_id, status="KILLED")

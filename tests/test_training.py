"""A fit in a process of its own: it may die, hang or be tampered with, and the app goes on."""

import pickle
import zipfile
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core import estimators, projects, recent, schema, serving, training
from core.errors import ModelCorrupt, TrainingFailed
from core.records import SYSTEM, Kind
from core.sources import SOURCES
from tests.conftest import NOW


@pytest.fixture
def project(ctx):
    return projects.create(ctx, SYSTEM, name="Sea", schema=SOURCES["sea"].schema, now=NOW)


@pytest.fixture
def frame(project):
    found = schema.conform(SOURCES["sea"].draw(400, seed=1), project.schema, with_target="required")
    return replace(found, features=recent.with_recent(found.features, project.schema))


def fit(ctx, project, frame, **more):
    with closing(training.Worker()) as hand:
        return training.fit(
            ctx, hand, project, frame.features, frame.labels, version=1, first=0, last=len(frame.features),
            **{"estimator": "logistic", "seed": 0, "now": NOW, **more},
        )  # fmt: skip


def test_a_version_comes_back_scored_on_rows_it_had_not_seen(ctx, project, frame):
    said = []
    model, reference = fit(ctx, project, frame, progress=said.append)
    accuracy = next(score for score in model.scores if score.metric == "accuracy")
    assert (accuracy.rows, model.rows) == (80, 400)
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert accuracy.value > 0.8
    assert any("fitting on 400 rows" in text for text in said)
    assert len(reference) > 100
    answers, probabilities = estimators.answers(
        ctx.models.get(model, ctx.settings.data_dir), frame.features, project.schema
    )
    here = estimators.build("logistic", project.schema, 0).fit(frame.features, frame.labels)
    np.testing.assert_allclose(probabilities, here.predict_proba(frame.features))
    assert set(answers) <= {"0", "1"}


def test_a_worker_that_is_killed_is_reported_and_leaves_nothing(ctx, project, frame):
    hand = training.Worker()

    def kill(text):
        hand._process.kill()

    with pytest.raises(TrainingFailed, match="SIGKILL"):
        training.fit(
            ctx, hand, project, frame.features, frame.labels, version=1, first=0, last=400, estimator="logistic",
            seed=0, now=NOW, progress=kill,
        )  # fmt: skip
    assert not (ctx.settings.data_dir / "models" / project.id / "v1").exists()
    assert list((ctx.settings.data_dir / "work").iterdir()) == []
    # the next task gets a new process
    with closing(hand):
        training.fit(
            ctx, hand, project, frame.features, frame.labels, version=1, first=0, last=400, estimator="logistic",
            seed=0, now=NOW,
        )  # fmt: skip


def test_a_worker_that_takes_too_long_is_ended():
    with closing(training.Worker()) as hand, pytest.raises(TrainingFailed, match=r"longer than 0\.05 s"):
        hand.ask({"task": "mirror", "tracking_uri": "sqlite:////nowhere/x.db", "champions": {"a": 1}}, seconds=0.05)


def test_what_the_worker_cannot_do_comes_back_as_a_sentence(ctx, project, frame):
    with pytest.raises(TrainingFailed, match="no estimator 'oracle'"):
        fit(ctx, project, frame, estimator="oracle")


@pytest.mark.parametrize("harm", ["a flipped bit", "another model", "a pickle", "gone"])
def test_a_file_that_is_not_what_was_registered_never_answers(ctx, project, frame, harm):
    model, _ = fit(ctx, project, frame)
    path = ctx.settings.data_dir / model.path / serving.MODEL_FILE
    data = bytearray(path.read_bytes())
    if harm == "a flipped bit":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif harm == "another model":
        serving.save(estimators.build("logistic", project.schema, 0), path.parent)
    elif harm == "a pickle":
        path.write_bytes(pickle.dumps(project))
    else:
        path.unlink()
    with pytest.raises(ModelCorrupt, match="version 1"):
        ctx.models.get(model, ctx.settings.data_dir)


def test_a_file_full_of_foreign_types_is_refused_even_with_the_right_checksum(ctx, project, frame):
    model, _ = fit(ctx, project, frame)
    path = ctx.settings.data_dir / model.path / serving.MODEL_FILE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "schema.json",
            '{"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode", "content": "x", "__id__": 1, '
            '"protocol": 2, "_skops_version": "0.16.0"}',
        )
    with pytest.raises(ModelCorrupt):
        serving.load(replace(model, sha256=serving.sha256(path)), ctx.settings.data_dir)


def test_a_path_outside_the_data_directory_is_refused(ctx, project, frame):
    model, _ = fit(ctx, project, frame)
    with pytest.raises(ModelCorrupt):
        serving.load(replace(model, path="../../etc"), ctx.settings.data_dir)


def test_every_kind_of_column_survives_the_way_into_the_worker(ctx):
    frame = pd.DataFrame(
        {
            "n": [1.5, None, 2.5] * 40, "c": ["a", None, "b"] * 40, "b": [True, False, None] * 40,
            "t": pd.to_datetime(["2026-01-01", "2026-06-01", None] * 40), "y": [0.5, 1.5, 2.5] * 40,
        }
    )  # fmt: skip
    found = schema.infer(frame, target="y").schema
    assert {column.kind for column in found.features} == set(Kind)
    project = projects.create(ctx, SYSTEM, name="all", schema=found, now=NOW)
    conformed = schema.conform(frame, found, with_target="required")
    inputs = recent.with_recent(conformed.features, found)
    model, _ = fit(ctx, project, replace(conformed, features=inputs), estimator="hist_gradient_boosting")
    answers, none = estimators.answers(ctx.models.get(model, ctx.settings.data_dir), inputs, found)
    assert none is None
    assert np.isfinite(answers).all()

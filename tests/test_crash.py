"""kill -9 of the real app, in the middle of things: what was acknowledged is there, nothing half-done is."""

import io
import time
from datetime import UTC, datetime

import httpx
import pandas as pd
import pytest

from core import context, loop, projects, runs, uploads
from core.records import SYSTEM, Action, Outcome
from core.settings import Settings
from core.sources import SOURCES
from core.store import arrivals, decisions, labels, models, rows
from tests import server


def opened(data_dir):
    """The data directory's content, looked at with the app gone."""
    return context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=data_dir))


def until(seen, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := seen():
            return found
        time.sleep(0.02)
    pytest.fail("it did not happen in time")


def state_of(app, run):
    return httpx.get(f"{app.url}/runs/{run}", headers=app.auth, timeout=20).json()


def post(app, path, **body):
    answer = httpx.post(app.url + path, json=body, headers=app.auth, timeout=60)
    assert answer.is_success, answer.text
    return answer.json()


def test_killed_in_the_middle_of_a_retrain(tmp_path):
    app = server.start(tmp_path / "data", CHECK_INTERVAL_SECONDS="3600")
    token = app.token
    drawn = post(app, "/generate", source="sea", rows=1500, seed=1)
    first = post(app, "/retrain", project=drawn["project"], reason="first")["run"]
    until(lambda: state_of(app, first)["outcome"] == "ok")
    before = httpx.get(f"{app.url}/metrics", headers=app.auth, timeout=20).text
    app.stop()  # so that no worker process is warm, and the retrain takes its time
    app = server.start(app.data_dir, CHECK_INTERVAL_SECONDS="3600")
    app.token = token
    second = post(app, "/retrain", project=drawn["project"], reason="second")["run"]
    until(lambda: state_of(app, second)["outcome"] == "running")
    time.sleep(0.8)  # decided by now; the worker process is still getting ready
    app.kill()

    ctx = opened(app.data_dir)
    with ctx.database.read() as con:
        reign, versions = models.reign(con, drawn["project"]), models.every(con, drawn["project"])
        asked = decisions.latest(con, drawn["project"], actions=(Action.RETRAIN,), limit=1)[0]
        assert rows.count(con, drawn["project"]) == 1500
        assert decisions.following(con, asked.id) == []  # decided, and not carried out
    assert f'version{{project="{drawn["project"]}"}} {reign.version}' in before
    ctx.close()

    again = server.start(app.data_dir, CHECK_INTERVAL_SECONDS="2")
    again.token = token
    assert state_of(again, second)["outcome"] in ("interrupted",)
    answer = post(again, "/predict", project=drawn["project"], rows=[{"x0": 1.0, "x1": 2.0, "x2": 3.0}])
    assert answer["predictions"][0]["version"] >= reign.version

    # what was decided and cut off is carried out by the next check, and the ledger says so
    def carried_out():
        text = httpx.get(f"{again.url}/metrics", headers=again.auth, timeout=20).text
        return any(f'action="{action}"}} 2' in text for action in ("promote",)) or 'action="hold"} 1' in text

    until(carried_out)
    again.stop()
    ctx = opened(app.data_dir)
    with ctx.database.read() as con:
        assert [entry.action for entry in decisions.following(con, asked.id)] in ([Action.PROMOTE], [Action.HOLD])
        folders = {path.name for path in (app.data_dir / "models" / drawn["project"]).iterdir()}
        assert folders == {f"v{model.version}" for model in models.every(con, drawn["project"])}
        assert len(models.every(con, drawn["project"])) > len(versions)
    assert list((app.data_dir / "work").iterdir()) == []
    ctx.close()


def test_killed_in_the_middle_of_an_upload(tmp_path):
    app = server.start(tmp_path / "data", CHECK_INTERVAL_SECONDS="3600")
    app.stop()
    sea = SOURCES["sea"]
    ctx = opened(app.data_dir)
    now = datetime.now(UTC)
    project = projects.create(ctx, SYSTEM, name="Sea", schema=sea.schema, now=now)
    frame = sea.draw(20_000, seed=1)
    big = pd.concat([frame] * 40)
    run = uploads.request_import(ctx, SYSTEM, project, io.BytesIO(big.to_csv(index=False).encode()), "big.csv", now=now)
    ctx.close()

    again = server.start(app.data_dir, CHECK_INTERVAL_SECONDS="3600")
    again.token = app.token
    until(lambda: "rows read" in state_of(again, run)["progress"])
    again.kill()

    ctx = opened(app.data_dir)
    with ctx.database.read() as con:
        stored = rows.count(con, project.id)
        assert (stored, labels.count(con, project.id)) in ((0, 0), (len(big), len(big)))
    if not stored:
        assert runs.recover(ctx, now) >= 1
        assert runs.get(ctx, run).outcome is Outcome.INTERRUPTED
    ctx.close()


def test_answers_that_were_given_are_written_when_the_app_is_told_to_stop(tmp_path):
    app = server.start(tmp_path / "data", CHECK_INTERVAL_SECONDS="3600")
    drawn = post(app, "/generate", source="linear", rows=600, seed=1)
    run = post(app, "/retrain", project=drawn["project"], reason="first")["run"]
    until(lambda: state_of(app, run)["outcome"] == "ok")
    ids = [
        post(app, "/predict", project=drawn["project"], rows=[{"x0": float(i), "x1": 1.0}])["predictions"][0]["row_id"]
        for i in range(20)
    ]
    app.stop()
    ctx = opened(app.data_dir)
    with ctx.database.read() as con:
        kept = rows.ids(con, drawn["project"], 600, 700)
    assert kept["row_id"].tolist() == ids
    ctx.close()


def test_a_promotion_that_fails_halfway_leaves_the_old_champion(ctx, operator, now, monkeypatch):
    sea = SOURCES["sea"]
    project = projects.create(ctx, operator, name="Sea", schema=sea.schema, now=now)
    with ctx.database.write() as con:
        arrivals.write(
            con, arrivals.Arrival(project.id, sea.draw(10, seed=1).drop(columns="target"), "test", now, "operator")
        )
        for version in (1, 2):
            models.insert(con, model(project.id, version, now), None)
        models.enthrone(con, project.id, 1, "sha", now, 0)

    def broken(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(loop.alerting, "raise_alert", broken)
    with pytest.raises(OSError, match="full"):
        loop.promote(ctx, operator, project, 2, reason="try", now=now)
    with ctx.database.read() as con:
        assert models.reign(con, project.id).version == 1
        assert decisions.latest(con, project.id) == []


def model(project, version, now):
    from core.records import ModelVersion

    return ModelVersion(
        project, version, "logistic", now, f"models/{project}/v{version}", "sha", 10, 0, 10, "hash", 0.1, 0
    )

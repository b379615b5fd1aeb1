"""One row's life, the tour of the system: it is uploaded, answered, labelled, judged, learnt from, and someone is told.

Everything here is real: DuckDB, the worker process, MLflow. Only the clock and Discord are stand-ins.
"""

import io
import threading
from datetime import timedelta

import pandas as pd
import pytest

from core import alerting, ingest, prediction, projects, schema, uploads
from core.channels.base import Message
from core.ledger import replay_decision, replayable
from core.policy import Policy
from core.records import Action
from core.sources import SOURCES
from core.store import decisions, labels, models, performances
from jobs import JOBS
from jobs.scheduler import tick

POLICY = Policy(window_rows=100, warm_up_windows=3, scope="all", period=2)

IMPORT, CYCLE, MIRROR = (
    [job for job in JOBS if job.name == name] for name in ("import_file", "cycle", "mirror_registry")
)


class Outbox:
    """A channel that keeps what it was given."""

    name = "discord"

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.turn = threading.Lock()

    def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture
def outbox(ctx, monkeypatch) -> Outbox:
    box = Outbox()
    object.__setattr__(ctx, "channels", (box,))
    return box


def test_a_row_from_upload_to_alert(ctx, operator, now, outbox):
    # 1. A person makes a project: the schema is proposed from the first rows, and confirmed.
    old = SOURCES["sea"].draw(400, seed=1, noise=0.0)
    proposed = schema.infer(old.head(100), target="target").schema
    project = projects.create(ctx, operator, name="Sea", schema=proposed, policy=POLICY, now=now)

    # 2. A file is dropped on Data. It is kept, and a job reads it: all of it, or nothing.
    file = io.BytesIO(old.iloc[:300].to_csv(index=False).encode())
    uploads.request_import(ctx, operator, project, file, "history.csv", now=now)
    tick(ctx, now, IMPORT)
    with ctx.database.read() as con:
        assert labels.count(con, project.id) == 300
        first = models.reign(con, project.id)

    # 3. The next check finds three labelled windows: enough for a first model, which becomes the champion.
    later = now + timedelta(minutes=1)
    tick(ctx, later, CYCLE)
    with ctx.database.read() as con:
        reign = models.reign(con, project.id)
        newest = decisions.latest(con, project.id, actions=(Action.PROMOTE,), limit=1)[0]
    assert first is None
    assert reign is not None
    assert reign.version == newest.version
    assert [reason.code for reason in newest.reasons] == ["trained_on"]

    # 4. Rows come without their answers. The champion answers them, and each answer is kept under the row's id.
    fresh = old.iloc[300:].drop(columns="target")
    answers = prediction.predict(ctx, operator, project, fresh, source="api", now=later)
    assert answers["version"].unique().tolist() == [reign.version]
    assert (answers["answer"].to_numpy() == old["target"].iloc[300:].astype(str).to_numpy()).mean() > 0.9

    # 5. The true answers come later, by id, in any order.
    truth = pd.DataFrame({"row_id": answers["row_id"], "value": old["target"].iloc[300:].to_numpy()})
    told = ingest.record_labels(ctx, operator, project, truth.sample(frac=1, random_state=0), source="api", now=later)
    assert told.recorded == 100

    # 6. The next check scores that window: it was answered before any of its labels was known.
    later += timedelta(minutes=1)
    tick(ctx, later, CYCLE)
    with ctx.database.read() as con:
        scores = performances.latest(con, project.id)
    accuracy = scores[scores["metric"] == "accuracy"].iloc[0]
    assert (accuracy["window_number"], accuracy["rows"], accuracy["maturity"]) == (3, 100, 1.0)
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]

    # 7. The world changes: more rows, another rule. The loop notices, trains a challenger, and lets it take over.
    changed = SOURCES["sea"].draw(
        400, seed=2, drift="sudden", start=0.0, magnitude=2.0, target_of_drift="concept", noise=0.0
    )
    for window in range(4):
        later += timedelta(minutes=1)
        ingest.ingest(ctx, operator, project, changed.iloc[window * 100 : (window + 1) * 100], source="api", now=later)
        tick(ctx, later, CYCLE)
    with ctx.database.read() as con:
        ledger = decisions.latest(con, project.id)
        champion = models.reign(con, project.id)
    assert champion.version > reign.version
    with ctx.database.read() as con:
        moved = decisions.scores(con, project.id)
    assert {"x0", "x1", "x2", "prediction"} <= set(moved["feature"])
    retrains = [entry for entry in ledger if entry.action is Action.RETRAIN]
    assert len(retrains) >= 2
    promoted = next(entry for entry in ledger if entry.version == champion.version)
    assert promoted.comparison.rows == 100
    assert promoted.comparison.gain > 0

    # 8. Every verdict can be judged again from what was stored, to the same words.
    judged = [entry for entry in ledger if entry.evidence]
    assert judged
    assert all(replay_decision(ctx, entry.id).same for entry in judged if replayable(entry))

    # 9. MLflow is told in the background what was trained, on what, how good, and who is champion.
    tick(ctx, later, MIRROR)
    with ctx.database.read() as con:
        assert models.logged_run(con, project.id, champion.version)
        assert models.unmirrored(con) == []

    # 10. Someone is told, through every channel, once.
    alerting.deliver_due(ctx, later)
    alerting.deliver_due(ctx, later + timedelta(hours=1))
    texts = [message.text for message in outbox.sent]
    assert len(texts) == len({message.alert for message in outbox.sent})
    assert any("enough for a first model" in text for text in texts)

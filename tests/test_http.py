"""The HTTP door, over real sockets to the real app: tokens before bodies, sizes, and each route's answer."""

import asyncio
import json
import time

import httpx
import pytest

from tests import server

OPEN = {("/health", "GET"), ("/api/health", "GET")}
ROUTES = [
    ("/metrics", "GET"), ("/api/metrics", "GET"), ("/predict", "POST"), ("/api/predict", "POST"), ("/labels", "POST"),
    ("/generate", "POST"), ("/retrain", "POST"), ("/runs/1", "GET"), ("/api/runs/1", "GET"), ("/api/openapi.json", "GET"),
    ("/api/nothing", "GET"), ("/api", "GET"), ("/predict", "PUT"), ("/health", "POST"), ("/api/health/x", "GET"),
]  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    running = server.start(tmp_path_factory.mktemp("http") / "data", CHECK_INTERVAL_SECONDS="3600")
    yield running
    assert running.stop() in (0, -15)  # uvicorn ends itself by the signal it was sent, after shutting down


@pytest.fixture(scope="module")
def client(app):
    with httpx.Client(base_url=app.url, headers=app.auth, timeout=60) as made:
        yield made


@pytest.mark.parametrize(("path", "method"), ROUTES)
@pytest.mark.parametrize("header", ["", "Bearer cml_aaaaaaaa_" + "b" * 43, "Bearer nonsense", "Basic YTpi"])
def test_nothing_answers_without_a_token(app, path, method, header):
    answer = httpx.request(method, app.url + path, headers={"Authorization": header} if header else {}, timeout=20)
    assert answer.status_code == 401
    assert answer.json()["error"] == "Forbidden"


def test_health_needs_no_token_and_names_what_it_looked_at(app):
    answer = httpx.get(f"{app.url}/health", timeout=20)
    assert answer.status_code == 200
    assert set(answer.json()["components"]) == {"database", "scheduler", "disk"}
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_large_anonymous_body_is_refused_before_it_is_read(app):
    before = app.rss()

    async def storm():
        body = b"x" * 95_000_000
        slowest = 0.0

        async def watch(done):
            nonlocal slowest
            async with httpx.AsyncClient() as other:
                while not done.is_set():
                    began = time.perf_counter()
                    await other.get(f"{app.url}/health", timeout=20)
                    slowest = max(slowest, time.perf_counter() - began)
                    await asyncio.sleep(0.05)

        done = asyncio.Event()
        watcher = asyncio.create_task(watch(done))
        statuses = []
        async with httpx.AsyncClient() as one:
            for path in ("/predict", "/api/predict", "/_stcore/upload_file/abc/def"):
                try:
                    answer = await one.request(
                        "PUT" if "upload" in path else "POST", app.url + path, content=body, timeout=60
                    )
                    statuses.append(answer.status_code)
                except httpx.HTTPError:  # refused and closed while we were still sending
                    statuses.append(0)
        done.set()
        await watcher
        return statuses, slowest

    statuses, slowest = asyncio.run(storm())
    assert set(statuses) <= {401, 403, 0}
    assert app.rss() - before < 60_000_000
    assert slowest < 5.0  # the prototype stood still for ten seconds


def test_a_body_that_is_too_large_is_refused_with_a_token_too(client):
    assert client.post("/predict", content=b"x" * 3_000_000).status_code == 413

    def chunks():
        for _ in range(40):
            yield b"x" * 100_000

    try:
        assert client.post("/predict", content=chunks()).status_code == 413
    except httpx.HTTPError:
        pass  # closed while we were still sending


def test_streamlits_own_metrics_are_not_shown(app):
    assert httpx.get(f"{app.url}/_stcore/metrics", timeout=20).status_code == 404


def test_generate_predict_label_retrain(client):
    drawn = client.post("/generate", json={"source": "linear", "rows": 500, "seed": 3})
    assert (drawn.status_code, drawn.json()["rows"]) == (201, 500)
    project = drawn.json()["project"]

    early = client.post("/predict", json={"rows": [{"x0": 1.0, "x1": 2.0}]})
    assert (early.status_code, early.json()["error"]) == (409, "NoChampion")
    assert "Train a first model" in early.json()["detail"]

    # a model at once: the check sees one labelled window, then a person asks for the retrain
    asked = client.post("/retrain", json={"project": project, "reason": "first model"})
    assert asked.status_code == 202
    run = wait(client, asked.json()["run"])
    assert run["outcome"] == "ok", run

    answer = client.post("/predict", json={"rows": [{"x0": 3.0, "x1": 2.0}, {"x0": -3.0, "x1": -2.0}]}).json()
    assert [line["answer"] for line in answer["predictions"]] == ["1", "0"]
    assert all(0.5 <= line["probability"] <= 1 for line in answer["predictions"])

    row_id = answer["predictions"][0]["row_id"]
    told = client.post("/labels", json={"labels": [{"row_id": row_id, "value": 1}]})
    assert told.json() == {"recorded": 1, "repeated": 0, "conflicting": 0, "waiting": 0}
    again = client.post("/labels", json={"labels": [{"row_id": row_id, "value": 0}, {"row_id": row_id, "value": "1"}]})
    assert (again.json()["conflicting"], again.json()["repeated"]) == (1, 1)

    text = client.get("/metrics").text
    assert f'continual_predictions_total{{project="{project}"}} 2' in text
    assert "continual_healthy" in text


def wait(client, run):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = client.get(f"/runs/{run}").json()
        if state["outcome"] not in ("queued", "running"):
            return state
        time.sleep(0.3)
    return state


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/predict", {"rows": []}, 422, "rows"),
        ("/predict", {"rows": [{"x0": 1.0}]}, 422, "x1"),
        ("/predict", {"rows": [{"x0": "many", "x1": 1.0}]}, 422, "many"),
        ("/predict", {"project": "nope", "rows": [{"x0": 1.0}]}, 404, "nope"),
        ("/generate", {"source": "nope"}, 404, "nope"),
        ("/generate", {"source": "sea", "drift": "sideways"}, 422, "sideways"),
        ("/labels", {"project": "linear-two-features", "labels": [{"row_id": "a", "value": "maybe"}]}, 422, "maybe"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(client, path, body, status, says):
    client.post("/generate", json={"source": "linear", "rows": 10})
    answer = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert says in answer.text


def test_openapi_describes_every_route(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {"/predict", "/labels", "/generate", "/retrain", "/metrics", "/health", "/runs/{run}"} <= set(paths)

"""What a rerun of each page costs with a year of data: python -m benchmarks.pages [--predictions 1000000] [--sessions 20]

The database holds one project with so many predictions and labels, a check every 30 seconds for a year, a decision with
drift scores and realised scores for every window of 500 rows. It is grown from a real run over a synthetic stream.

1. CPU time of the page's script, by Streamlit's own test runner: the median of five reruns after the first, whole
   process (DuckDB's threads too). The floor is a page that only writes a title.
2. Sessions on the running app, over its websocket: time from request to the script's end, and what a session adds to
   the memory of the process. Once as people work, each asking again after 5 seconds on average (the bar), and once all
   rerunning as fast as they can, which measures what the process can do. No job runs meanwhile.
"""

import argparse
import asyncio
import logging
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from loguru import logger

from core import accounts, context, ingest, loop, projects, runs
from core.policy import Policy
from core.records import SYSTEM, Project, Role
from core.settings import Settings
from core.sources import SOURCES
from core.store import projects as tables
from jobs import JOBS

ROOT = Path(__file__).parent.parent
PAGES = (
    "overview", "data", "models", "predict", "monitoring", "decisions", "alerts", "reports", "automation", "health",
    "admin", "account",
)  # fmt: skip
BARS = {"overview": 100.0}  # ms; the others 150
WINDOW, WARM_UP, LIVED = 500, 4, 24  # windows that really happen
PAUSE = 5.0  # seconds between a session's reruns, on average
COPIED = 8  # of them, the newest, make up each copy


def grow(ctx: context.Context, predictions: int) -> Project:
    """A project that has lived for a year."""
    now = datetime.now(UTC) - timedelta(days=365)
    sea = SOURCES["sea"]
    policy = Policy(window_rows=WINDOW, warm_up_windows=WARM_UP, estimator="logistic")
    project = projects.create(ctx, SYSTEM, name="A year of traffic", schema=sea.schema, policy=policy, now=now)
    for number in range(LIVED):
        rows = sea.draw(WINDOW, seed=1, offset=number * WINDOW)
        ingest.ingest(ctx, SYSTEM, project, rows, source="benchmark", now=now + timedelta(minutes=number))
        loop.run_cycle(ctx, project, now + timedelta(minutes=number))
    ctx.log.flush()
    copies = max(predictions // (COPIED * WINDOW), 1)
    since, step = LIVED - COPIED, timedelta(days=364) / copies
    with ctx.database.write() as con:
        rows_table = tables.table(con, project.id)
        columns = [row[0] for row in con.execute(f"DESCRIBE {rows_table}").fetchall()]
        moved = {
            "position": "position + k * 4000", "row_id": "row_id || '-' || k", "window_number": "window_number + k * 8",
            "first": '"first" + k * 4000', "last": '"last" + k * 4000',
            **{name: f"{name} + k * INTERVAL '{step.total_seconds()} seconds'"
               for name in ("predicted_at", "arrived_at", "decided_at", "checked_at", "measured_at", "guessed_at", "kept_at")},
        }  # fmt: skip
        for table, where, own in (
            (rows_table, f"position >= {since * WINDOW}", columns),
            ("predictions", f"position >= {since * WINDOW}", None),
            ("labels", f"position >= {since * WINDOW}", None),
            ("performances", f"window_number >= {since}", None),
            ("drift_scores", f"window_number >= {since}", None),
            ("guesses", f"window_number >= {since}", None),
            ("decisions", f"window_number >= {since}", None),
        ):
            own = own or [row[0] for row in con.execute(f"DESCRIBE {table}").fetchall()]
            chosen = ", ".join(
                "nextval('decision_ids')" if (table, name) == ("decisions", "id") else moved.get(name, f'"{name}"')
                for name in own
            )
            con.execute(
                f"INSERT INTO {table} SELECT {chosen} FROM (SELECT * FROM {table} WHERE {where}), "
                f"(SELECT unnest(range(1, {copies + 1})) AS k)"
            )
        # a check every 30 seconds that found no full window
        con.execute(
            """INSERT INTO decisions (id, project, decided_at, action, actor, policy_version, reasons)
            SELECT nextval('decision_ids'), ?, ? + k * INTERVAL '30 seconds', 'wait', 'continual-ml', 1,
                   '[{"code": "window_filling", "params": {"seen": 20, "needed": 500}}]'
            FROM (SELECT unnest(range(0, 365 * 2880)) AS k)""",
            [project.id, now],
        )
    with ctx.database.read() as con:
        con.execute("CHECKPOINT")
    return project


@contextmanager
def as_process(ctx: context.Context) -> Iterator[None]:
    """The context as the process's own, as pages find it."""
    context._process["context"] = ctx
    try:
        yield
    finally:
        context._process.pop("context", None)


def cpu(script: str, user: str, reruns: int = 5) -> tuple[float, float]:
    """CPU milliseconds of the first run and the median of the reruns."""
    from streamlit.testing.v1 import AppTest

    test = AppTest.from_file(script, default_timeout=120)
    test.session_state["signed_in"] = user
    times = []
    for _ in range(reruns + 1):
        began = time.process_time()
        test.run()
        times.append(1000 * (time.process_time() - began))
        if test.exception:
            raise RuntimeError(f"{script}: {test.exception[0].message}")
    return times[0], float(np.median(times[1:]))


def scripts(ctx: context.Context, folder: Path) -> None:
    import pages.ui

    pages.ui.link = lambda *_: None  # links need the frame's navigation
    empty = folder / "empty.py"
    empty.write_text("import streamlit as st\nst.title('Nothing')\n")
    print(f"{'page':12} {'first run':>10} {'rerun':>8} {'bar':>6}   CPU ms")
    with as_process(ctx):
        for page in ("floor", *PAGES):
            path = str(empty) if page == "floor" else str(ROOT / "pages" / f"{page}.py")
            first, median = cpu(path, "admin")
            bar = BARS.get(page, 150.0)
            told = "" if page == "floor" else f"{bar:6.0f}   {'ok' if median <= bar else 'ABOVE'}"
            print(f"{page:12} {first:10.0f} {median:8.0f} {told}", flush=True)


async def session(
    url: str, page: str, rounds: int, pause: float, seed: int, times: list[float], ready: asyncio.Barrier
) -> None:
    """One browser session: its first run, then reruns among the others', ``pause`` seconds apart on average."""
    draw = random.Random(seed)
    import websockets
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    async with websockets.connect(
        f"{url.replace('http', 'ws', 1)}/_stcore/stream", subprotocols=["streamlit"], max_size=None, origin=url
    ) as socket:

        async def rerun() -> float:
            ask = BackMsg()
            ask.rerun_script.page_name = page
            began = time.perf_counter()
            await socket.send(ask.SerializeToString())
            while True:
                answer = ForwardMsg.FromString(await socket.recv())
                if answer.WhichOneof("type") == "script_finished":
                    return time.perf_counter() - began

        await rerun()
        await ready.wait()
        for _ in range(rounds):
            await asyncio.sleep(draw.expovariate(1 / pause) if pause else 0)
            times.append(await rerun())
        await ready.wait()


async def together(url: str, count: int, rounds: int, pause: float = 0.0) -> list[float]:
    times: list[float] = []
    ready = asyncio.Barrier(count)
    names = ["", "monitoring", "decisions", "models"]
    await asyncio.gather(*(session(url, names[i % len(names)], rounds, pause, i, times, ready) for i in range(count)))
    return times


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rest(ctx: context.Context) -> None:
    """Pause every job: the copied rows are a backlog that the loop would judge, twenty windows at a time."""
    for job in JOBS:
        if job.every is not None:
            runs.set_paused(ctx, SYSTEM, job.name, paused=True, now=datetime.now(UTC))


def load(data_dir: Path, sessions: int) -> None:
    from tests import server

    app = server.start(data_dir, CONTINUAL_GUEST="viewer", CHECK_INTERVAL_SECONDS="3600")
    try:
        asyncio.run(together(app.url, 1, 1))  # what is loaded once
        before = app.rss()
        for pause, bar in ((PAUSE, " (bar 2 s)"), (0.0, "")):
            cpu_before = cpu_seconds(app.process.pid)
            times = asyncio.run(together(app.url, sessions, 8, pause))
            used = (cpu_seconds(app.process.pid) - cpu_before) / (len(times) + sessions)
            p50, p95 = np.quantile(times, [0.5, 0.95])
            how = f"{pause:.0f} s between reruns" if pause else "as fast as they can"
            print(
                f"{sessions} sessions, {how}: median {p50:.2f} s, p95 {p95:.2f} s{bar}; {1000 * used:.0f} ms CPU a run"
            )
        print(f"{(app.rss() - before) / sessions / 1e6:.1f} MB a session")
    finally:
        app.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--data", type=Path, help="keep the database in this folder, and use what is there already")
    given = parser.parse_args()
    logger.disable("core")
    logging.disable(logging.WARNING)  # Streamlit's, about a script without a browser
    with tempfile.TemporaryDirectory() as folder:
        data_dir = given.data or Path(folder) / "data"
        grown = data_dir.exists()
        ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=data_dir))
        if not grown:
            accounts.create_user(
                ctx, SYSTEM, name="admin", password="correct horse battery", role=Role.ADMIN, now=datetime.now(UTC)
            )
            grow(ctx, given.predictions)
        scripts(ctx, Path(folder))
        rest(ctx)
        ctx.close()
        load(data_dir, given.sessions)


if __name__ == "__main__":
    main()

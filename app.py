"""Continual ML: the pages, the HTTP API and the scheduler, in one process.

`streamlit run app.py`, `python app.py` and `uvicorn app:app` all start it. A host that runs this file as a plain
script, session by session, gets the pages and one scheduler, without the HTTP routes.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import streamlit as st  # noqa: E402
from streamlit import runtime  # noqa: E402

from core import context, server  # noqa: E402

if runtime.exists():
    from jobs import scheduler
    from pages import main

    scheduler.ensure_started(server.start())
    main.frame()
else:
    from starlette.middleware import Middleware
    from starlette.routing import Mount, Route
    from streamlit.runtime.pages_manager import PagesManager

    from core.api import api
    from core.guard import Guard
    from jobs import scheduler

    # Until st.navigation has run once, Streamlit would show any file in pages/ to whoever asks for it by name.
    PagesManager.uses_pages_directory = False

    PATHS = {"/health": "GET", "/metrics": "GET", "/runs/{run}": "GET", "/predict": "POST", "/labels": "POST",
             "/generate": "POST", "/retrain": "POST", "/share/{secret:path}": "GET"}  # fmt: skip

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        """The scheduler runs for as long as the server does; what was answered is written before it ends."""
        scheduler.ensure_started(server.start())
        try:
            yield
        finally:
            scheduler.stop()
            context.close_current()

    settings = server.start().settings
    app = st.App(
        HERE / "pages" / "main.py",
        lifespan=lifespan,
        routes=[Mount("/api", api), *(Route(path, api, methods=[method]) for path, method in PATHS.items())],
        middleware=[Middleware(Guard, context=context.current)],
    )

    if __name__ == "__main__":
        app.run(
            config={
                "server.port": settings.port,
                "server.address": settings.host,
                "server.maxUploadSize": settings.upload_megabytes,
            }
        )

"""What tests share: a context of their own on a real database, a clock, and the people in it."""

import os
from datetime import UTC, datetime

import pytest
from hypothesis import settings as hypothesis_settings

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MLFLOW_DISABLE_TELEMETRY="true")

hypothesis_settings.register_profile("house", deadline=None, derandomize=True, max_examples=50)
hypothesis_settings.load_profile("house")

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch):
    """Passwords of tests are hashed with little work; where time matters, a test sets it back."""
    from core import auth

    monkeypatch.setattr(auth, "ROUNDS", 4)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def settings(tmp_path):
    from core.settings import Settings

    return Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path / "data", TASK_RETRIES=2, RETRY_DELAY_SECONDS=0)


@pytest.fixture
def ctx(settings):
    from core import context

    made = context.opened(settings)
    yield made
    made.close()


@pytest.fixture
def people(ctx, now):
    """A viewer, an operator and an admin, in the database."""
    from core import accounts
    from core.records import SYSTEM, Role

    return {
        role: accounts.create_user(ctx, SYSTEM, name=role.value, password=PASSWORD, role=role, now=now) for role in Role
    }


@pytest.fixture
def operator(people):
    from core.records import Role

    return people[Role.OPERATOR]


# ---- in a browser --------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all that need one."""
    from playwright.sync_api import sync_playwright

    from scripts.browser import found

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=found(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield made
        made.close()


@pytest.fixture
def visitor(browser):
    """Makes visitors: each a page in a browser profile of its own."""
    contexts = []

    def come(width=1440, height=900, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        return contexts[-1].new_page()

    yield come
    for context in contexts:
        context.close()


@pytest.fixture
def page(visitor):
    return visitor()

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

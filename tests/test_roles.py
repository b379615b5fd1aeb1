"""Every verb by every kind of user: who may do it is stated once, in this table, and a verb that is not in it fails."""

import ast
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core import (
    accounts,
    alerting,
    auth,
    backtesting,
    backups,
    incidents,
    ingest,
    loop,
    playing,
    prediction,
    projects,
    reports,
    runs,
    uploads,
)
from core.backtest import Backtest, Trial
from core.errors import ContinualError, Forbidden
from core.policy import PRESETS
from core.records import GUEST, SYSTEM, Role, User
from core.sources import SOURCES
from tests.conftest import NOW, PASSWORD
from tests.server import ROOT

SEA = SOURCES["sea"]
ROWS = SEA.draw(10, seed=1)
KEPT = backtesting.Kept(1, NOW, "x", Backtest("error", False, 1, 1, 1, "never", (
    Trial("never", PRESETS["never"], (0.1,), (), 0, 0, 0.0),)))  # fmt: skip


class Stage:
    """What the verbs are tried on: ``ctx``, a ``project``, an account and a token to do things to."""

    def __init__(self, ctx):
        self.ctx = ctx
        self.count = 0
        self.project = projects.create(ctx, SYSTEM, name="Sea", schema=SEA.schema, now=NOW)
        accounts.create_user(ctx, SYSTEM, name="somebody", password=PASSWORD, role=Role.VIEWER, now=NOW)
        self.token = accounts.create_token(ctx, SYSTEM, name="some token", now=NOW).split("_")[1]

    def fresh(self) -> str:
        self.count += 1
        return f"fresh-{self.count}"


def row(verb: Callable, least: Role, call: Callable) -> tuple:
    return verb, least, call


V, O, A = Role.VIEWER, Role.OPERATOR, Role.ADMIN  # noqa: E741
TABLE = [
    row(projects.create, O, lambda s, u: projects.create(s.ctx, u, name=s.fresh(), schema=SEA.schema, now=NOW)),
    row(projects.set_policy, A,
        lambda s, u: projects.set_policy(s.ctx, u, s.project.id, projects.policy(s.ctx, s.project.id)[1], NOW)),
    row(projects.restore_policy, A, lambda s, u: projects.restore_policy(s.ctx, u, s.project.id, 1, NOW)),
    row(backtesting.request, O, lambda s, u: backtesting.request(s.ctx, u, s.project, now=NOW)),
    row(backtesting.run, O, lambda s, u: backtesting.run(
        s.ctx, u, s.project, run=1, label_delay=None, now=NOW, progress=lambda _: None)),
    row(backtesting.adopt, A, lambda s, u: backtesting.adopt(s.ctx, u, s.project, KEPT, "never", NOW)),
    row(projects.archive, O, lambda s, u: projects.archive(s.ctx, u, s.project.id, NOW)),
    row(projects.restore, O, lambda s, u: projects.restore(s.ctx, u, s.project.id)),
    row(ingest.ingest, O, lambda s, u: ingest.ingest(s.ctx, u, s.project, ROWS, source="x", now=NOW)),
    row(ingest.record_labels, O, lambda s, u: ingest.record_labels(s.ctx, u, s.project, ROWS, source="x", now=NOW)),
    row(ingest.generate, O, lambda s, u: ingest.generate(s.ctx, u, "sea", rows=10, now=NOW)),
    row(prediction.predict, O, lambda s, u: prediction.predict(s.ctx, u, s.project, ROWS, source="x", now=NOW)),
    row(playing.begin, O, lambda s, u: playing.begin(s.ctx, u, "nothing", now=NOW)),
    row(playing.set_pace, O, lambda s, u: playing.set_pace(s.ctx, u, s.project, playing=True, now=NOW)),
    row(uploads.keep, O, lambda s, u: uploads.keep(s.ctx, u, io.BytesIO(b"a,b\n1,2\n"), "x.csv")),
    row(uploads.request_import, O,
        lambda s, u: uploads.request_import(s.ctx, u, s.project, io.BytesIO(b"a\n1\n"), "x.csv", now=NOW)),
    row(uploads.import_file, O, lambda s, u: uploads.import_file(
        s.ctx, u, s.project, uploads.keep(s.ctx, SYSTEM, io.BytesIO(ROWS.to_csv(index=False).encode()), "x.csv"),
        name="x.csv", labels_only=False, now=NOW, progress=lambda _: None)),
    row(runs.request, O, lambda s, u: runs.request(s.ctx, u, "cycle", s.project.id, now=NOW)),
    row(runs.cancel, O, lambda s, u: runs.cancel(s.ctx, u, 1, NOW)),
    row(runs.set_paused, O, lambda s, u: runs.set_paused(s.ctx, u, "cycle", paused=True, now=NOW)),
    row(loop.retrain, O, lambda s, u: loop.retrain(s.ctx, u, s.project, reason="x", now=NOW)),
    row(loop.promote, O, lambda s, u: loop.promote(s.ctx, u, s.project, 1, reason="x", now=NOW)),
    row(loop.accept_feed, O, lambda s, u: loop.accept_feed(s.ctx, u, s.project, reason="x", now=NOW)),
    row(loop.decline, O, lambda s, u: loop.decline(s.ctx, u, s.project, reason="x", now=NOW)),
    row(loop.roll_back, O, lambda s, u: loop.roll_back(s.ctx, u, s.project, reason="x", now=NOW)),
    row(reports.request, O, lambda s, u: reports.request(
        s.ctx, u, s.project, since=NOW, until=NOW + timedelta(days=1), language="en", now=NOW)),
    row(reports.make, O, lambda s, u: reports.make(
        s.ctx, u, s.project, since=NOW, until=NOW, language="en", now=NOW, progress=lambda _: None)),
    row(reports.read, V, lambda s, u: reports.read(s.ctx, u, 1, "html")),
    row(reports.delete, O, lambda s, u: reports.delete(s.ctx, u, 1, NOW)),
    row(reports.restore, O, lambda s, u: reports.restore(s.ctx, u, 1, NOW)),
    row(reports.share, A, lambda s, u: reports.share(s.ctx, u, 1, lasts=timedelta(days=1), now=NOW)),
    row(reports.links, A, lambda s, u: reports.links(s.ctx, u, 1, NOW)),
    row(reports.revoke, A, lambda s, u: reports.revoke(s.ctx, u, "no link", NOW)),
    row(alerting.send_test, O, lambda s, u: alerting.send_test(s.ctx, u, NOW)),
    row(accounts.every, A, lambda s, u: accounts.every(s.ctx, u)),
    row(accounts.create_user, A,
        lambda s, u: accounts.create_user(s.ctx, u, name=s.fresh(), password=PASSWORD, role=V, now=NOW)),
    row(accounts.invite_user, A, lambda s, u: accounts.invite_user(s.ctx, u, name=s.fresh(), role=V, now=NOW)),
    row(accounts.set_role, A, lambda s, u: accounts.set_role(s.ctx, u, "somebody", O, NOW)),
    row(accounts.set_email, A, lambda s, u: accounts.set_email(s.ctx, u, "somebody", "s@example.org", NOW)),
    row(accounts.disable_user, A, lambda s, u: accounts.disable_user(s.ctx, u, "somebody", NOW)),
    row(accounts.enable_user, A, lambda s, u: accounts.enable_user(s.ctx, u, "somebody", NOW)),
    row(accounts.reset_password, A, lambda s, u: accounts.reset_password(s.ctx, u, "somebody", NOW)),
    row(accounts.end_sessions, A, lambda s, u: accounts.end_sessions(s.ctx, u, "somebody", NOW)),
    row(accounts.sign_ins, A, lambda s, u: accounts.sign_ins(s.ctx, u)),
    row(accounts.every_token, A, lambda s, u: accounts.every_token(s.ctx, u)),
    row(accounts.create_token, A, lambda s, u: accounts.create_token(s.ctx, u, name="another", now=NOW)),
    row(accounts.revoke_token, A, lambda s, u: accounts.revoke_token(s.ctx, u, s.token, NOW)),
    row(accounts.trail, A, lambda s, u: accounts.trail(s.ctx, u)),
    row(accounts.settings_in_force, A, lambda s, u: accounts.settings_in_force(s.ctx, u)),
    row(incidents.acknowledge, O, lambda s, u: incidents.acknowledge(s.ctx, u, 1, NOW)),
    row(incidents.snooze, O, lambda s, u: incidents.snooze(s.ctx, u, 1, timedelta(hours=1), NOW)),
    row(incidents.resolve, O, lambda s, u: incidents.resolve(s.ctx, u, 1, NOW)),
    row(backups.make, O, lambda s, u: backups.make(s.ctx, u, NOW)),
    row(backups.every, A, lambda s, u: backups.every(s.ctx, u)),
    row(backups.read, A, lambda s, u: backups.read(s.ctx, u, "nothing", NOW)),
    row(auth.require, V, lambda s, u: auth.require(s.ctx, u, V)),
]  # fmt: skip
# What one does to oneself needs an account of one's own; these have tests of their own (`test_accounts`).
OWN = [
    row(accounts.change_password, V, lambda s, u: accounts.change_password(
        s.ctx, u, present=PASSWORD, new="brand new password", address="home", now=NOW)),
    row(accounts.set_language, V, lambda s, u: accounts.set_language(s.ctx, u, "fr")),
    row(accounts.own_sign_ins, V, lambda s, u: accounts.own_sign_ins(s.ctx, u)),
]  # fmt: skip
ASKED = {auth.has, auth.session_key, accounts.language}  # say something about a user, and do nothing


@pytest.fixture
def stage(ctx):
    return Stage(replace(ctx, settings=ctx.settings.model_copy(update={"guest": "viewer"})))


def kinds(ctx, people) -> dict[str, tuple[User, Role | None]]:
    """Every kind of user there is, and the role it has now; None for who has lost theirs."""

    def token(role: Role, **given) -> User:
        secret = accounts.create_token(ctx, SYSTEM, name=f"{role} token", role=role, **given)
        return User(f"token:{secret.split('_')[1]}", Role.ADMIN)  # what the object claims does not count

    def person(name: str) -> User:
        accounts.create_user(ctx, SYSTEM, name=name, password=PASSWORD, role=Role.ADMIN, now=NOW)
        return auth.current(ctx, name, Role.ADMIN)

    disabled, ended, revoked = person("disabled"), person("ended"), token(Role.ADMIN, now=NOW)
    accounts.disable_user(ctx, SYSTEM, disabled.name, NOW)
    accounts.end_sessions(ctx, SYSTEM, ended.name, NOW)
    accounts.revoke_token(ctx, SYSTEM, revoked.name.removeprefix("token:"), NOW)
    now = datetime.now(UTC)
    past = token(Role.ADMIN, now=now - timedelta(days=2), lasts=timedelta(days=1))
    return {
        "nobody": (User("nobody", Role.ADMIN), None),
        "empty": (User("", Role.ADMIN), None),
        "stranger": (User("email:eve@example.org", Role.ADMIN), None),
        "false system": (replace(SYSTEM, display="not it"), None),
        "disabled": (disabled, None),
        "ended session": (ended, None),
        "revoked token": (revoked, None),
        "expired token": (past, None),
        "guest": (replace(GUEST, role=Role.ADMIN), Role.VIEWER),
        **{role.value: (replace(people[role], role=Role.ADMIN), role) for role in Role},
        **{f"{role} token": (token(role, now=NOW), role) for role in Role},
        "system": (SYSTEM, Role.ADMIN),
    }


def may(call: Callable, stage: Stage, user: User) -> bool:
    """Whether it was not the role that stood in the way."""
    try:
        call(stage, user)
    except Forbidden:
        return False
    except ContinualError:  # allowed, and then something else was not right
        return True
    return True


def test_every_verb_does_what_the_role_allows_and_nothing_more(stage, people):
    wrong = []
    everybody = kinds(stage.ctx, people)
    for verb, least, call in TABLE:
        for kind, (user, held) in everybody.items():
            allowed = held is not None and auth.RANK[held] >= auth.RANK[least]
            if may(call, stage, user) is not allowed:
                wrong.append(f"{kind} {'may not' if allowed else 'may'} {verb.__module__}.{verb.__name__}")
        if verb is accounts.disable_user:
            accounts.enable_user(stage.ctx, SYSTEM, "somebody", NOW)
    assert not wrong


def test_what_one_does_to_oneself_needs_an_account_of_one_s_own(stage, people):
    for kind, (user, held) in kinds(stage.ctx, people).items():
        for verb, _, call in OWN:
            allowed = held is not None and user.name in {"viewer", "operator", "admin"}
            assert may(call, stage, user) is allowed, (kind, verb.__name__)


def test_the_table_leaves_no_verb_out():
    listed = {f"{verb.__module__}.{verb.__name__}" for verb in {verb for verb, _, _ in TABLE + OWN} | ASKED}
    assert len(TABLE) == len({verb for verb, _, _ in TABLE})
    found = set()
    for path in (ROOT / "core").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.args, *node.args.kwonlyargs]
                if any(isinstance(a.annotation, ast.Name) and a.annotation.id == "User" for a in arguments):
                    found.add(f"core.{path.stem}.{node.name}")
    assert found == listed, "a verb that takes a User has its row in TABLE, and a row its verb"

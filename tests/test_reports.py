"""Reports: what they freeze, that their files need nothing and let nothing in, and who may do what with them."""

import hashlib
import re
import struct
from base64 import b64decode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from core import (
    accounts,
    alerting,
    context,
    health,
    ingest,
    loop,
    pictures,
    projects,
    report_html,
    report_words,
    reports,
    runs,
)
from core.channels.discord import Discord
from core.errors import InvalidInput, NotFound, PicturesOff
from core.policy import Policy
from core.reasons import sentence
from core.records import SYSTEM, Action, Column, Outcome, Role
from core.settings import Settings
from core.snapshot import Heat, Snapshot
from core.sources import SOURCES
from core.store import users
from core.store.codec import dump, load
from core.words import LANGUAGES
from jobs import report as report_job
from jobs import scheduler, weekly_report
from pages import ui
from scripts.browser import found
from tests import server
from tests.conftest import NOW, PASSWORD
from tests.fake_discord import FakeDiscord
from tests.server import ROOT

HOSTILE = "<script>alert('x')</script> & \"><img src=http://evil.test/x onerror=alert(1)>"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory):
    """One database for the whole file: what a test adds, it adds after the period that the others look at."""
    made = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path_factory.mktemp("reports") / "data"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def played(ctx):
    """A project with a hostile name and hostile feature names, judged for some windows, an hour apart."""
    sea = SOURCES["sea"]
    names = {column.name: f"{column.name} {HOSTILE}"[:60] for column in sea.schema.features}
    schema = replace(sea.schema, features=tuple(Column(names[c.name], c.kind) for c in sea.schema.features))
    policy = Policy(window_rows=50, warm_up_windows=2, scope="all", estimator="logistic", period=2)
    project = projects.create(ctx, SYSTEM, name=HOSTILE[:60], schema=schema, policy=policy, now=NOW)
    for turn, first in enumerate((0, 100, 150, 200, 250)):
        rows = sea.draw(100 if first == 0 else 50, seed=1, offset=first).rename(columns=names)
        ingest.ingest(ctx, SYSTEM, project, rows, source="test", now=NOW + turn * HOUR)
        loop.run_cycle(ctx, project, NOW + turn * HOUR)
    return project


def frozen(ctx, project, since=NOW - HOUR, until=NOW + 5 * HOUR):
    return reports.freeze(ctx, project, since, until, made_by="amina", now=until)


def empty(ctx, project) -> Snapshot:
    return frozen(ctx, project, NOW - 3 * HOUR, NOW - 2 * HOUR)


# ---- the snapshot ----------------------------------------------------------------------------------------------------
def test_a_snapshot_holds_the_figures_of_its_period_alone(ctx, played):
    whole, half = frozen(ctx, played), frozen(ctx, played, until=NOW + 2 * HOUR)
    assert (whole.rows, whole.labels) == (300, 300)
    assert (half.rows, half.labels) == (150 + 50 - 50, 150)
    assert whole.predictions == 200  # all but the warm-up, which had no champion to answer it
    assert half.predictions < whole.predictions
    assert max(p.window for p in half.scores) < max(p.window for p in whole.scores)
    assert sum(whole.acts.values()) > sum(half.acts.values())
    assert whole.state
    assert whole.state.action is not Action.WAIT
    assert all(p.low <= p.value <= p.high for p in whole.scores)


def test_what_happens_later_changes_no_snapshot_of_before(ctx, played):
    before = frozen(ctx, played)
    rows = SOURCES["sea"].draw(50, seed=1, offset=300)
    rows = rows.rename(
        columns=dict(zip([c.name for c in SOURCES["sea"].schema.features], played.schema.names, strict=True))
    )
    ingest.ingest(ctx, SYSTEM, played, rows, source="test", now=NOW + 9 * HOUR)
    loop.run_cycle(ctx, played, NOW + 9 * HOUR)
    assert replace(frozen(ctx, played), coming=before.coming) == before


def test_a_snapshot_survives_its_json(ctx, played):
    for made in (frozen(ctx, played), empty(ctx, played)):
        assert load(Snapshot, dump(made)) == made


def test_a_period_that_ends_before_it_begins_and_a_language_nobody_speaks_are_refused(ctx, played):
    for since, language, says in ((NOW + HOUR, "en", "begin before it ends"), (NOW - HOUR, "tlh", "tlh")):
        with pytest.raises(InvalidInput, match=says):
            reports.request(ctx, SYSTEM, played, since=since, until=NOW, language=language, now=NOW)


# ---- words -----------------------------------------------------------------------------------------------------------
def test_the_headline_says_what_happened_last(ctx, played):
    made = frozen(ctx, played)
    assert f"version {made.champion}" in report_words.headline(made, "en").lower()
    assert report_words.headline(empty(ctx, played), "en") == "Nothing could be judged in this period"
    troubled = replace(made, state=replace(made.state, action=Action.FAIL))
    assert report_words.headline(troubled, "en") == "The model needs attention"


def test_what_is_unknown_is_called_unknown(ctx, played):
    nothing = empty(ctx, played)
    values = {tile.label: tile.value for tile in report_words.tiles(nothing, "en")}
    assert values["Accuracy"] == values["Drifting features"] == "unknown"
    assert report_words.badge(nothing.state, "en") == ("gray", "Unknown")
    told = []
    for past, judged in ((0, 1), (1, 1), (0, 2)):
        partly = replace(nothing, heat=Heat(("x",), (7,), ((0.2,),), {7: (past, judged)}))
        tile = report_words.tiles(partly, "en")[1]
        told.append((tile.value, tile.note))
    assert told == [
        ("unknown", "in window 7; 2 not judged"),
        ("1 of 1", "in window 7; 2 not judged"),
        ("0 of 2", "in window 7; 1 not judged"),
    ]


def test_a_retrain_is_told_with_what_came_of_it(ctx, played):
    made = frozen(ctx, played)
    told = report_words.acts(made)
    assert made.count(Action.RETRAIN) > 0
    with_cause = [(moment.cause, cause.id) for moment, cause in told if cause]
    assert with_cause
    assert all(named == cause for named, cause in with_cause)
    listed = {moment.id for moment, _ in told} | {cause for _, cause in with_cause}
    assert listed == {moment.id for moment in made.decisions}
    assert len(told) == len(made.decisions) - len(with_cause)


def test_decisions_are_called_the_same_in_reports_and_on_pages():
    for action, (color, _, word) in ui.LOOK.items():
        assert report_words.LOOK[action] == (color, word)


# ---- the file --------------------------------------------------------------------------------------------------------
class Reader(HTMLParser):
    """Collects tags, and whatever could make a browser ask for something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [
            value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "action", "data")
        ]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_file_is_small_needs_nothing_and_lets_no_name_in(ctx, played, language):
    for made in (frozen(ctx, played), empty(ctx, played)):
        for text in (report_html.page(made, language), report_html.slide(made, language)):
            assert len(text.encode()) < 2_000_000
            read = Reader(text)
            assert not {"script", "img", "link", "iframe", "object", "a", "base", "form"} & set(read.tags)
            assert read.fetched == []
            assert read.handlers == []
            assert all(found.startswith("data:") for found in re.findall(r"url\(([^)]*)\)", text))
            assert "@import" not in text
            assert "default-src 'none'" in text
            assert "<script" not in text
            assert "&lt;script&gt;alert" in text  # the name is there, as words


def test_the_numbers_behind_the_line_are_in_the_file(ctx, played):
    made = frozen(ctx, played)
    text = report_html.page(made)
    rows = re.findall(r"<tr>(.*?)</tr>", text)[1:]
    assert len(rows) == len(made.scores)
    assert text.count('class="dot') == 2 * len(made.scores)  # drawn once for wide and once for narrow screens
    assert f"<td>{made.scores[-1].window}</td>" in rows[0]


# ---- the files -------------------------------------------------------------------------------------------------------
def made(ctx, project, language="en", *, tell=False, user=SYSTEM, now=NOW + 5 * HOUR):
    """A report of the played period, as the job makes it."""
    told = reports.make(
        ctx, user, project, since=NOW - HOUR, until=NOW + 5 * HOUR, language=language, tell=tell, now=now,
        progress=lambda _: None,
    )  # fmt: skip
    return reports.latest(ctx, project.id)[0], told


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chromium")


@pytest.mark.e2e
def test_a_report_has_a_card_of_exactly_1600_by_900_a_thumbnail_a_pdf_and_its_html(ctx, played):
    report, told = made(ctx, played, "fr")
    assert told == f"Report {report.id}: {report.title}"
    files = {kind: reports.read(ctx, SYSTEM, report.id, kind) for kind in ("png", "thumbnail", "pdf", "html")}
    assert png_size(files["png"]) == (1600, 900)
    assert png_size(files["thumbnail"]) == (640, 360)
    assert files["pdf"].startswith(b"%PDF-")
    assert b"/FontFile" in files["pdf"] or b"Inter" in files["pdf"]
    assert files["html"].startswith(b'<!doctype html><html lang="fr">')
    assert all(len(content) < 2_000_000 for content in files.values())
    kept = load(Snapshot, (ctx.settings.reports_dir / str(report.id) / "snapshot.json").read_text())
    assert kept == replace(frozen(ctx, played), made_by=SYSTEM.display)


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


def test_without_a_browser_the_html_goes_out_and_the_page_says_why(ctx, played, no_browser):
    assert not pictures.pictures_available().available
    assert "BROWSER_PATH" in pictures.pictures_available().sentence
    (seen,) = (part for part in health.survey(ctx, NOW) if part.name == "pictures")
    assert (seen.state, "BROWSER_PATH" in seen.detail) == (health.State.OFF, True)
    report, told = made(ctx, played)
    assert "Without pictures: No Chromium" in told
    assert set(report.files) == {"html", "snapshot"}
    assert reports.read(ctx, SYSTEM, report.id, "html").startswith(b"<!doctype html>")
    with pytest.raises(NotFound, match="without png"):
        reports.read(ctx, SYSTEM, report.id, "png")


@pytest.mark.parametrize(("script", "says"), [("exit 3", "could not draw"), ("sleep 600", "it was ended")])
def test_a_browser_that_fails_or_hangs_costs_the_pictures_and_nothing_else(tmp_path, monkeypatch, script, says):
    browser = tmp_path / "chromium"
    browser.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{script}\n")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(browser))
    with pytest.raises(PicturesOff):
        pictures.photograph("<p>a", "<p>b", size=(1600, 900), seconds=3)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


# ---- keeping and sharing ---------------------------------------------------------------------------------------------
def test_a_deleted_report_comes_back_until_it_is_pruned(ctx, played, no_browser):
    report, _ = made(ctx, played)
    reports.delete(ctx, SYSTEM, report.id, NOW)
    assert report.id not in {kept.id for kept in reports.latest(ctx, played.id)}
    with pytest.raises(NotFound):
        reports.read(ctx, SYSTEM, report.id, "html")
    reports.restore(ctx, SYSTEM, report.id, NOW)
    assert reports.read(ctx, SYSTEM, report.id, "html")
    reports.delete(ctx, SYSTEM, report.id, NOW)
    assert reports.prune(ctx, NOW + timedelta(days=29)) == 0
    assert reports.prune(ctx, NOW + timedelta(days=31)) == 1
    assert not (ctx.settings.reports_dir / str(report.id)).exists()
    with pytest.raises(NotFound, match="gone"):
        reports.restore(ctx, SYSTEM, report.id, NOW)


def allowing(ctx):
    return replace(ctx, settings=ctx.settings.model_copy(update={"share_reports": True}))


def test_sharing_is_off_until_it_is_allowed(ctx, played, no_browser):
    report, _ = made(ctx, played)
    with pytest.raises(InvalidInput, match="CONTINUAL_SHARE_REPORTS"):
        reports.share(ctx, SYSTEM, report.id, lasts=timedelta(days=7), now=NOW)
    secret = reports.share(allowing(ctx), SYSTEM, report.id, lasts=timedelta(days=7), now=NOW)
    assert reports.shared(allowing(ctx), secret, NOW)
    assert reports.shared(ctx, secret, NOW) is None


def test_a_link_opens_one_report_until_it_expires_is_revoked_or_its_report_deleted(ctx, played, no_browser):
    ctx = allowing(ctx)
    report, _ = made(ctx, played)
    week = timedelta(days=7)
    first, second = (reports.share(ctx, SYSTEM, report.id, lasts=week, now=NOW) for _ in range(2))
    assert reports.shared(ctx, first, NOW + 6.9 * DAY) == reports.read(ctx, SYSTEM, report.id, "html")
    assert reports.shared(ctx, first, NOW + 7 * DAY) is None
    assert reports.shared(ctx, first[:-1], NOW) is None
    assert reports.shared(ctx, "", NOW) is None

    opened = reports.links(ctx, SYSTEM, report.id, NOW)
    assert len(opened) == 2
    assert not any(secret in repr(opened) for secret in (first, second))
    reports.revoke(ctx, SYSTEM, hashlib.sha256(first.encode()).hexdigest(), NOW)
    assert reports.shared(ctx, first, NOW) is None
    assert reports.shared(ctx, second, NOW)
    assert len(reports.links(ctx, SYSTEM, report.id, NOW)) == 1
    said = [sentence(deed.reason) for deed in accounts.trail(ctx, SYSTEM, about=str(report.id))]
    assert said[0] == f"{SYSTEM.name} revoked a link to report {report.id}."
    assert f"opens report {report.id} until 2026-01-08 12:00 UTC" in said[1]
    assert not any(secret in " ".join(said) for secret in (first, second))

    reports.delete(ctx, SYSTEM, report.id, NOW)
    assert reports.shared(ctx, second, NOW) is None
    reports.restore(ctx, SYSTEM, report.id, NOW)
    assert reports.shared(ctx, second, NOW)
    for lasts in (timedelta(0), timedelta(days=91)):
        with pytest.raises(InvalidInput):
            reports.share(ctx, SYSTEM, report.id, lasts=lasts, now=NOW)


@dataclass
class Shared:
    """An app that shares a report: secrets of yesterday that are good, run out and revoked."""

    app: server.Server
    good: str
    ended: str
    revoked: str


@pytest.fixture(scope="module")
def sharing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share") / "data"
    own = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=folder, CONTINUAL_SHARE_REPORTS=True))
    project = projects.create(own, SYSTEM, name="Shared", schema=SOURCES["sea"].schema, now=NOW)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BROWSER_PATH", "/nowhere/chromium")
        report, _ = made(own, project)
    yesterday = datetime.now(UTC) - DAY
    good, ended, revoked = (
        reports.share(own, SYSTEM, report.id, lasts=lasts, now=yesterday) for lasts in (2 * DAY, DAY / 2, 2 * DAY)
    )
    reports.revoke(own, SYSTEM, hashlib.sha256(revoked.encode()).hexdigest(), yesterday)
    own.close()
    app = server.start(folder, CONTINUAL_SHARE_REPORTS="true", CHECK_INTERVAL_SECONDS="3600")
    yield Shared(app, good, ended, revoked)
    app.stop()


def test_a_link_opens_its_report_over_http_and_nothing_else_is_told(sharing):
    app = sharing.app
    answer = httpx.get(f"{app.url}/share/{sharing.good}", timeout=20)
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>")
    policy = answer.headers.get_list("content-security-policy")
    assert len(policy) == 1
    assert all(word in policy[0] for word in ("default-src 'none'", "sandbox", "frame-ancestors 'none'"))
    assert "script-src" not in policy[0]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    nothing = [httpx.get(f"{app.url}/share/{secret}", timeout=20)
               for secret in (sharing.ended, sharing.revoked, "x", "x" * 43, "a/b", "")]  # fmt: skip
    assert {(answer.status_code, answer.text) for answer in nothing} == {(404, "There is nothing here.")}
    assert len({tuple(sorted(set(answer.headers) - {"date"})) for answer in nothing}) == 1
    assert httpx.post(f"{app.url}/share/{sharing.good}", timeout=20).status_code == 401
    assert httpx.get(f"{app.url}/api/share/{sharing.good}", timeout=20).status_code == 401
    log = app.log.read_text() + "".join(path.read_text() for path in (app.data_dir / "logs").glob("*"))
    assert sharing.good not in log


@pytest.mark.e2e
def test_a_visitor_reads_the_shared_report_and_a_user_downloads_the_same(sharing):
    from playwright.sync_api import sync_playwright

    app = sharing.app
    address = f"{app.url}/share/{sharing.good}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found(), args=["--no-sandbox", "--disable-gpu"])
        visitor = browser.new_page(viewport={"width": 390, "height": 844})
        asked, said = [], []
        visitor.on("request", lambda request: asked.append(request.url))
        visitor.on("console", lambda message: said.append(message.text))
        visitor.goto(address)
        assert visitor.get_by_role("heading", level=1).inner_text() == "Nothing could be judged in this period"
        assert visitor.evaluate("document.documentElement.scrollWidth") <= 390
        assert visitor.evaluate("document.fonts.check('16px Inter')")
        assert [url for url in asked if not url.startswith("data:")] == [address]
        assert said == []

        user = browser.new_page()
        user.goto(f"{app.url}/reports")
        user.get_by_label("Name").fill("admin")
        user.get_by_label("Password", exact=True).fill(server.PASSWORD)
        user.get_by_role("button", name="Sign in").click()
        with user.expect_download(timeout=60_000) as download:
            user.get_by_role("button", name="HTML").click(timeout=60_000)
        assert Path(download.value.path()).read_bytes() == httpx.get(address, timeout=20).content
        assert download.value.suggested_filename.startswith("shared-2026-01-01-")
        browser.close()


# ---- by itself -------------------------------------------------------------------------------------------------------
def test_a_report_that_was_asked_for_is_made_by_the_scheduler(ctx, played, no_browser):
    run = reports.request(ctx, SYSTEM, played, since=NOW - HOUR, until=NOW + HOUR, language="fr", now=NOW)
    assert runs.get(ctx, run).outcome is Outcome.QUEUED
    scheduler.tick(ctx, NOW, [report_job.JOB])
    state = runs.get(ctx, run)
    assert state.outcome is Outcome.OK, state.message
    report = reports.latest(ctx, played.id)[0]
    assert (report.language, report.since, report.until) == ("fr", NOW - HOUR, NOW + HOUR)


def test_the_weekly_report_is_off_until_it_is_resumed_and_then_told_with_its_picture(ctx, played, no_browser):
    fake = FakeDiscord()
    with_discord = replace(ctx, channels=(Discord(SecretStr(fake.url)),))
    before = len(reports.latest(ctx, played.id))
    try:
        assert scheduler.tick(ctx, NOW + 6 * DAY, [weekly_report.JOB]) == []
        runs.set_paused(ctx, SYSTEM, "weekly_report", paused=False, now=NOW)
        (run,) = scheduler.tick(ctx, NOW + 6 * DAY, [weekly_report.JOB])
        assert runs.get(ctx, run).outcome is Outcome.OK
        (report, *_) = made_so_far = reports.latest(ctx, played.id)
        assert len(made_so_far) == before + 1
        (ctx.settings.reports_dir / str(report.id) / "report.png").write_bytes(b"\x89PNG of the week")
        alerting.deliver_due(with_discord, NOW + 6 * DAY)
        assert fake.pictures == [b"\x89PNG of the week"]
        assert report.title in fake.payloads[-1]["embeds"][0]["description"]
        # a week in which nothing was judged is not worth a report
        assert scheduler.tick(ctx, NOW + 60 * DAY, [weekly_report.JOB]) == []
    finally:
        runs.set_paused(ctx, SYSTEM, "weekly_report", paused=True, now=NOW)
        fake.close()


# ---- the page --------------------------------------------------------------------------------------------------------
@pytest.fixture
def process(ctx, monkeypatch):
    """The context as the process's own, with people in it; links need the frame's navigation."""
    with ctx.database.read() as con:
        missing = users.count(con) == 0
    for role in Role if missing else ():
        accounts.create_user(ctx, SYSTEM, name=role.value, password=PASSWORD, role=role, now=NOW)
    monkeypatch.setitem(context._process, "context", ctx)
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    return ctx


def opened(role, **query):
    test = AppTest.from_file(str(ROOT / "pages" / "reports.py"), default_timeout=60)
    test.session_state["signed_in"] = role.value
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def labels_of(test):
    return [element.label for element in test.button]


def test_the_empty_page_says_what_a_report_is(process, no_browser):
    bare = projects.create(process, SYSTEM, name="Bare", schema=SOURCES["sea"].schema, now=NOW)
    for role in Role:
        test = opened(role, project=bare.id)
        assert not test.exception
        assert any("No report yet" in element.value for element in test.markdown)
        assert ("Make the report" in labels_of(test)) is (role is not Role.VIEWER)


def test_each_role_sees_what_it_may_do(process, played, no_browser):
    report, _ = made(process, played)
    for role in Role:
        test = opened(role, project=played.id)
        assert not test.exception
        shown = " ".join(element.value for element in (*test.markdown, *test.caption))
        assert report.title in shown.replace("\\", "")
        assert any(element.proto.label == "HTML" for element in test.get("download_button"))
        assert ("Make the report" in labels_of(test)) is (role is not Role.VIEWER)
        assert any(element.key == f"delete-{report.id}" for element in test.button) is (role is not Role.VIEWER)
        assert any("Sharing by link is off" in element.value for element in test.caption) is (role is Role.ADMIN)


def test_a_viewer_reads_a_report_on_the_page(process, played, no_browser):
    report, _ = made(process, played)
    test = opened(Role.VIEWER, project=played.id)
    test.button(key=f"read-{report.id}").click().run()
    assert not test.exception
    (frame,) = test.get("iframe")
    kind, document = frame.proto.src.split(",", 1)
    assert kind == "data:text/html;charset=utf-8;base64"  # an origin of its own
    assert b64decode(document) == reports.read(process, SYSTEM, report.id, "html")


def test_a_report_is_asked_for_deleted_and_brought_back_on_the_page(process, played, no_browser):
    report, _ = made(process, played)
    test = opened(Role.OPERATOR, project=played.id)
    next(button for button in test.button if button.label == "Make the report").click().run()
    assert not test.exception
    assert runs.get(process, test.session_state["report_run"]).outcome is Outcome.QUEUED
    test.button(key=f"delete-{report.id}").click().run()
    assert report.id not in {kept.id for kept in reports.latest(process, played.id)}
    test.button(key="undo").click().run()
    assert report.id in {kept.id for kept in reports.latest(process, played.id)}
    assert not test.error


def test_a_link_is_shown_once(process, played, no_browser, monkeypatch):
    allowed = allowing(process)
    monkeypatch.setitem(context._process, "context", allowed)
    report, _ = made(allowed, played)
    test = opened(Role.ADMIN, project=played.id)
    test.button(key=f"share-{report.id}").click().run()
    (code,) = test.code
    secret = code.value.rsplit("/share/", 1)[1]
    assert reports.shared(allowed, secret, datetime.now(UTC))
    test.button(key="copied").click().run()
    assert not test.code
    next(button for button in test.button if button.label == "Revoke").click().run()
    assert reports.shared(allowed, secret, datetime.now(UTC)) is None

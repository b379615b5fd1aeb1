"""In a browser: one's own data, a language, a champion by hand, a report, a phone. One app is shared, in this order."""

import re

import pytest

from core.sources import SOURCES
from tests import server
from tests.browsing import press, settled, sign_in, told

pytestmark = pytest.mark.e2e
PAGES = ("", "data", "models", "predict", "monitoring", "decisions", "automation", "alerts", "reports", "app-health",
         "admin", "account")  # fmt: skip
ROWS = 5_500  # 11 windows: eight to begin with, and three to judge


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    running = server.start(tmp_path_factory.mktemp("journeys") / "data", CHECK_INTERVAL_SECONDS="3600")
    yield running
    assert running.stop() in (0, -15)


@pytest.fixture(scope="module")
def cookies(app, browser):
    """The administrator, signed in once."""
    page = browser.new_page()
    sign_in(page, app.url)
    yield page.context.cookies()
    page.close()


@pytest.fixture
def admin(app, cookies, visitor):
    """Opens pages as the administrator: ``admin("models")`` is a page that stands still."""

    def at(address="", **options):
        page = visitor(**options)
        page.context.add_cookies(cookies)
        page.goto(f"{app.url}/{address}")
        page.get_by_role("button", name="Sign out").or_(
            page.get_by_role("button", name="Se déconnecter")
        ).first.wait_for(timeout=60_000, state="attached")
        settled(page)
        return page

    return at


def seen(page, pattern, seconds=60):
    """Wait until the page shows this, and return what was found."""
    for _ in range(seconds * 2):
        if found := re.search(pattern, page.inner_text("body")):
            return found
        page.wait_for_timeout(500)
    raise AssertionError(f"{pattern!r} is not on the page: {page.inner_text('body')[-1500:]}")


def test_own_rows_become_a_project_a_model_and_a_policy_that_was_tried(app, admin, tmp_path):
    SOURCES["electricity"].read(0, ROWS).to_csv(tmp_path / "my prices.csv", index=False)
    page = admin()
    page.get_by_role("link", name="Upload on the Data page").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "my prices.csv")
    told(page, "Which column is the answer?")
    told(page, "order: counts up from row to row")
    press(page, "Create the project and store these rows")
    told(page, f"{ROWS:,} rows stored, {ROWS:,} with their label")
    settled(page)
    assert page.get_by_role("button", name="Store these rows").count() == 0, "the same file could be stored twice"
    page.get_by_role("link", name="Overview").last.click()
    press(page, "Check now")
    seen(page, r"Champion\s+v\d+", 120)
    told(page, "The rows so far came together with their labels")
    page.goto(f"{app.url}/automation?tab=try")
    press(page, "Try these policies on my history")
    told(page, "Which policy is worth its retrains?", 120)
    told(page, "windows could be scored")
    assert page.get_by_role("button", name="Use this policy").is_disabled(), "no policy was recommended"


def test_a_person_promotes_a_version_sees_before_and_after_and_takes_it_back(admin):
    page = admin("models")
    reigning = int(seen(page, r"Who answers\?\s+v(\d+)")[1])
    other = 1  # the first one was a twin for the comparison
    page = admin(f"models?version={other}")
    told(page, f"Where does v{other} come from")
    press(page, f"Promote v{other}")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Serves now").wait_for()
    assert f"v{reigning}" in dialog.inner_text()
    assert (
        f"From the next request on, v{other} answers. Nothing is deleted, and you can undo it." in dialog.inner_text()
    )
    dialog.get_by_role("button", name=f"Promote v{other}").click()
    told(page, "A reason is missing")
    dialog.get_by_label("Why (kept in the ledger)").fill("a trial by hand")
    dialog.get_by_role("button", name=f"Promote v{other}").click()
    seen(page, rf"Who answers\?\s+v{other}\b")
    told(page, f"admin made version {other} the champion: a trial by hand")
    press(page, f"Undo: back to v{reigning}")
    seen(page, rf"Who answers\?\s+v{reigning}\b")
    press(page, "Roll back")
    dialog.get_by_label("Why (kept in the ledger)").fill("and back")
    dialog.get_by_role("button", name=re.compile("^Roll back to v")).click()
    seen(page, rf"Who answers\?\s+v{other}\b")
    page.get_by_role("link", name="Decisions").first.click()
    told(page, f"admin went back to version {other}: and back")


def test_a_report_is_made_downloaded_and_opens_without_a_network(admin, visitor, tmp_path):
    page = admin("reports")
    press(page, "Make the report")
    page.get_by_role("button", name="HTML").first.wait_for(timeout=90_000)
    sizes = {}
    for kind in ("HTML", "PDF", "PNG"):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=kind).first.click()
        waiting.value.save_as(tmp_path / f"report.{kind.lower()}")
        sizes[kind] = (tmp_path / f"report.{kind.lower()}").read_bytes()
    assert sizes["PDF"].startswith(b"%PDF")
    assert sizes["PNG"].startswith(b"\x89PNG")
    assert len(sizes["HTML"]) < 2_000_000
    asked = []
    reader = visitor(offline=True)
    reader.on("request", lambda request: asked.append(request.url))
    reader.goto((tmp_path / "report.html").as_uri())
    assert "my prices" in reader.inner_text("body")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_every_page_speaks_the_language_that_was_chosen(app, admin):
    page = admin("account")
    page.get_by_text("Français", exact=True).click()
    told(page, "Votre compte")
    expected = {
        "": r"Réponses|Prédictions", "data": r"5\u202f500|5\xa0500", "models": "Qui répond", "decisions": "Décisions",
        "automation": "Automatisation", "alerts": "Alertes", "reports": "Rapports",
    }  # fmt: skip
    for address, words in expected.items():
        page.goto(f"{app.url}/{address}")
        seen(page, words)
        settled(page)
        assert "encountered an error" not in page.inner_text("body")
    page.goto(f"{app.url}/decisions?action=promote")
    seen(page, r"Promue?|Mise? en service")
    seen(page, r"il y a \d+")
    page.get_by_role("link", name="Votre compte").first.click()
    page.get_by_text("English", exact=True).click()
    told(page, "Your account")


def test_on_a_phone_nothing_lies_beyond_the_edge(app, admin):
    page, wide = admin(width=390, height=844), []
    for address in PAGES:
        page.goto(f"{app.url}/{address}")
        page.get_by_role("heading").first.wait_for()
        settled(page)
        beyond = page.evaluate(
            """() => {const main = document.querySelector('[data-testid=stMain]');
            return [main.scrollWidth - main.clientWidth, document.documentElement.scrollWidth - innerWidth]}"""
        )
        wide += [address] if max(beyond) > 0 else []
    assert wide == []
    page.goto(f"{app.url}/models")
    for act in ("Check now", "Retrain now", "Roll back"):
        page.get_by_role("button", name=act).first.scroll_into_view_if_needed()
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Decisions").first.click()
    told(page, "What was done, and why")

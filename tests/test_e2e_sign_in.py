"""In a browser: who comes in, how, what each may do there, and how sessions end. Two apps are shared by all."""

import re

import pytest

from tests import server
from tests.browsing import fill_in, press, settled, sign_in, signed_in, signed_out, told
from tests.fake_provider import FakeProvider

pytestmark = pytest.mark.e2e
PAGES = ("", "data", "models", "predict", "monitoring", "decisions", "automation", "admin", "account")
NEW = "brand new password"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    running = server.start(tmp_path_factory.mktemp("sign_in") / "data", CHECK_INTERVAL_SECONDS="3600")
    yield running
    assert running.stop() in (0, -15)


@pytest.fixture(scope="module")
def crew(app, browser):
    """A viewer and an operator, made by the administrator on the Admin page; their passwords by name."""
    page = browser.new_page()
    sign_in(page, f"{app.url}/admin")
    passwords = {"admin": server.PASSWORD}
    for name, role in (("vera", "Viewer"), ("olga", "Operator"), ("paul", "Viewer"), ("dora", "Viewer")):
        page.get_by_role("textbox", name="Name to sign in with").fill(name)
        page.get_by_role("radio", name=role).last.check(force=True)
        press(page, "Make the account")
        told(page, f"{name} can sign in with this password.")
        passwords[name] = page.locator("[data-testid=stCode]").first.inner_text().strip()
    page.close()
    return passwords


def test_a_signed_out_visitor_sees_the_form_and_nothing_else_on_every_deep_link(app, page):
    for name in PAGES:
        page.goto(f"{app.url}/{name}")
        signed_out(page)
        text = settled(page)
        assert "Sign in" in text
        assert not any(word in text for word in ("Sign out", "Schedule", "There is no project", "Who may", "Guest")), (
            name
        )


def test_a_wrong_password_and_an_unknown_name_are_refused_in_the_same_words(app, page):
    for name in ("admin", "nobody"):
        page.goto(app.url)
        fill_in(page, name, "not the password")
        told(page, "Wrong name or password")
        assert not page.context.cookies() or all(c["name"] != "continual_ml" for c in page.context.cookies())


def test_guessing_is_slowed_and_others_still_come_in(app, crew, visitor):
    guesser = visitor()
    guesser.goto(app.url)
    for _ in range(40):  # each failed one doubles the wait
        fill_in(guesser, "paul", "a guess")
        guesser.wait_for_timeout(300)
        if (found := re.search(r"Too many failed tries. Wait (\d+) s", settled(guesser))) and int(found[1]) > 7:
            break
    fill_in(guesser, "paul", crew["paul"])  # even the right one has to wait now
    guesser.wait_for_timeout(300)
    assert "Too many failed tries. Wait" in settled(guesser)
    sign_in(visitor(), app.url, "vera", crew["vera"])


def test_a_reload_and_a_deep_link_keep_the_session_and_a_copied_cookie_dies_with_it(app, visitor):
    page, thief = visitor(), visitor()
    sign_in(page, app.url)
    for name in ("models", "admin"):
        page.goto(f"{app.url}/{name}")
        signed_in(page)
        assert page.url.endswith(name)
        assert page.get_by_label("Password", exact=True).count() == 0
    thief.context.add_cookies(page.context.cookies())
    thief.goto(app.url)
    signed_in(thief)
    press(page, "Sign out")
    signed_out(page)
    page.reload()
    signed_out(page)
    signed_out(thief, seconds=60)  # by itself, without a click
    thief.reload()
    signed_out(thief)


@pytest.mark.soak
def test_a_forged_cookie_opens_nothing(app, visitor):
    import jwt

    page = visitor()
    for key in ("some_key", "x" * 48):
        forged = jwt.encode({"username": "admin|" + "0" * 12, "exp_date": 4e9}, key, algorithm="HS256")
        page.context.add_cookies([{"name": "continual_ml", "value": forged, "url": app.url}])
        page.goto(app.url)
        signed_out(page)


@pytest.mark.parametrize(
    ("name", "may_run", "may_administer"), [("vera", False, False), ("olga", True, False), ("admin", True, True)]
)
def test_each_role_sees_and_can_do_what_it_may(app, crew, page, name, may_run, may_administer):
    sign_in(page, app.url, name, crew[name])
    menu = page.get_by_test_id("stSidebarNav")
    assert menu.get_by_text("Automation").count() == 1
    assert menu.get_by_text("Admin", exact=True).count() == int(may_administer)
    page.goto(f"{app.url}/admin")
    if may_administer:
        told(page, "Who may sign in?")
    else:
        told(page, "This needs the role admin")
        assert "Who may sign in?" not in settled(page)
    page.goto(f"{app.url}/automation")
    page.get_by_role("tab", name="Schedule").click()
    settled(page)
    if may_run:
        press(page, "Run now")
        told(page, "It starts within a second")
    else:
        assert page.get_by_role("button", name="Run now", exact=True).count() == 0


def test_a_new_password_ends_the_other_session_and_not_this_one(app, crew, visitor):
    here, there = visitor(), visitor()
    for page in (here, there):
        sign_in(page, f"{app.url}/account", "vera", crew["vera"])
    here.get_by_label("Present password").fill(crew["vera"])
    here.get_by_label("New password", exact=True).last.fill(NEW)
    here.get_by_label("New password once more").fill(NEW)
    press(here, "Change my password")
    told(here, "Your password is changed")
    signed_out(there, seconds=60)  # by itself, without a click
    there.reload()
    signed_out(there)
    settled(here)
    here.reload()
    signed_in(here)
    fill_in(there, "vera", crew["vera"])
    told(there, "Wrong name or password")
    fill_in(there, "vera", NEW)
    signed_in(there)
    crew["vera"] = NEW


@pytest.mark.soak
def test_a_disabled_account_is_out_at_once_and_an_enabled_one_signs_in_anew(app, crew, visitor):
    admin, dora = visitor(), visitor()
    sign_in(dora, app.url, "dora", crew["dora"])
    sign_in(admin, f"{app.url}/admin")
    admin.get_by_role("combobox", name="Account").click()
    admin.get_by_role("option", name="dora").click()
    settled(admin)
    press(admin, "Disable the account …")
    told(admin, "is signed out everywhere at once")
    press(admin, "Disable the account")
    signed_out(dora)
    fill_in(dora, "dora", crew["dora"])
    told(dora, "Wrong name or password")
    press(admin, "Enable the account")
    admin.get_by_role("button", name="Disable the account …").wait_for(timeout=20_000)
    dora.reload()
    signed_out(dora)  # the session of before stays over
    fill_in(dora, "dora", crew["dora"])
    signed_in(dora)


@pytest.mark.soak
def test_a_language_that_was_chosen_is_there_at_the_next_sign_in(app, crew, visitor):
    first, second = visitor(), visitor()
    sign_in(first, f"{app.url}/account", "olga", crew["olga"])
    assert first.get_by_role("radio", name="English").is_checked()
    first.get_by_text("Français").click()
    settled(first)
    second.goto(f"{app.url}/account")
    fill_in(second, "olga", crew["olga"])
    second.get_by_role("radio", name="Français", checked=True).wait_for(timeout=30_000)
    second.get_by_text("English").click()
    second.get_by_role("radio", name="English", checked=True).wait_for(timeout=30_000)
    settled(second)


@pytest.mark.soak
def test_a_token_made_on_the_page_works_until_it_is_revoked_there(app, page):
    import httpx

    sign_in(page, f"{app.url}/admin")
    page.get_by_role("tab", name="Tokens").click()
    page.get_by_role("textbox", name="What it is for").fill("billing")
    press(page, "Make the token")
    told(page, "Shown once")
    secret = page.locator("[data-testid=stCode]:visible").first.inner_text().strip()
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{app.url}/metrics", headers=headers, timeout=20).status_code == 200
    page.reload()
    page.get_by_role("tab", name="Tokens").click()
    assert secret not in settled(page)
    page.get_by_role("combobox", name="Token").click()
    page.get_by_role("option", name=re.compile("billing")).click()
    settled(page)
    press(page, "Revoke the token …")
    press(page, "Revoke the token")
    page.get_by_role("dialog").wait_for(state="detached", timeout=20_000)
    assert httpx.get(f"{app.url}/metrics", headers=headers, timeout=20).status_code == 401


@pytest.mark.soak
def test_a_backup_is_made_and_taken_away(app, page):
    import zipfile

    sign_in(page, f"{app.url}/admin")
    page.get_by_role("tab", name="Backup").click()
    press(page, "Make a backup now")
    with page.expect_download(timeout=60_000) as coming:
        page.get_by_role("button", name="Download").first.click(timeout=60_000)
    with zipfile.ZipFile(coming.value.path()) as archive:
        assert {"RESTORE.txt", "continual.duckdb"} <= set(archive.namelist())
        assert archive.testzip() is None


def test_on_a_phone_nothing_is_wider_than_the_screen(app, visitor):
    page = visitor(width=390, height=844)
    sign_in(page, app.url)
    for name in ("account", "admin", "automation"):
        page.goto(f"{app.url}/{name}")
        signed_in(page)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390, name


# ---- without a password --------------------------------------------------------------------------
@pytest.fixture(scope="module")
def provider():
    return FakeProvider()


@pytest.fixture(scope="module")
def house(tmp_path_factory, provider):
    """An app that lets guests look around, and knows an identity provider."""
    folder = tmp_path_factory.mktemp("house")
    provider.secrets(folder)
    running = server.start(folder / "data", CHECK_INTERVAL_SECONDS="3600", CONTINUAL_GUEST="viewer", HOME=str(folder))
    yield running
    assert running.stop() in (0, -15)


def test_a_guest_looks_around_changes_nothing_and_can_sign_in(house, page):
    page.goto(house.url)
    told(page, "You are looking around")
    press(page, "Play electricity")
    told(page, "This needs the role operator; Guest is viewer")
    assert page.get_by_test_id("stSidebarNav").get_by_text("Admin", exact=True).count() == 0
    page.goto(f"{house.url}/admin")
    told(page, "This needs the role admin")
    page.goto(f"{house.url}/account")
    told(page, "You have no account here")
    press(page, "Sign in")
    signed_out(page)
    press(page, "Look around as a guest")
    told(page, "You have no account here")
    press(page, "Sign in")
    fill_in(page, "admin", server.PASSWORD)
    signed_in(page)
    assert "You are looking around" not in settled(page)
    press(page, "Sign out")
    told(page, "You are looking around")


def through_provider(page, house):
    page.goto(house.url)
    press(page, "Sign in")
    press(page, "Sign in with acme")


@pytest.mark.soak
def test_an_identity_provider_s_user_has_the_role_of_the_account_with_that_address(house, provider, visitor):
    admin, page = visitor(), visitor()
    admin.goto(f"{house.url}/admin")
    press(admin, "Sign in")
    fill_in(admin, "admin", server.PASSWORD)
    signed_in(admin)
    told(admin, "Who is missing?")
    admin.get_by_role("textbox", name="Name to sign in with").fill("ida")
    admin.get_by_role("textbox", name="E-mail").last.fill("ida@example.org")
    admin.get_by_role("radio", name="Operator").last.check(force=True)
    press(admin, "Make the account")
    told(admin, "ida can sign in")
    provider.claims = {"email": "Ida@example.org", "email_verified": True}
    through_provider(page, house)
    signed_in(page)
    told(page, "ida · operator")
    page.goto(f"{house.url}/admin")
    told(page, "This needs the role admin")
    page.goto(f"{house.url}/automation")
    page.get_by_role("tab", name="Schedule").click()
    press(page, "Run now")
    told(page, "It starts within a second")
    press(page, "Sign out")
    told(page, "You are looking around")


@pytest.mark.soak
@pytest.mark.parametrize(
    "claims", [{"email": "eve@example.org", "email_verified": True}, {"email": "ida@example.org"}, {}]
)
def test_whom_the_provider_does_not_vouch_for_or_nobody_knows_stays_out(house, provider, page, claims):
    provider.claims = claims
    through_provider(page, house)
    told(page, re.compile("No account here goes with|gave no e-mail address"))
    press(page, "Use another account")
    told(page, "You are looking around")

"""What people do in a browser, for tests."""

from tests import server


def settled(page):
    """Wait until the script has run and nothing is being drawn any more; returns what is on the page."""
    page.locator("[data-test-script-state=notRunning]").wait_for(timeout=60_000)
    page.wait_for_timeout(400)
    return page.inner_text("body")


def fill_in(page, name, password):
    """Send the sign-in form, once it stands still."""
    signed_out(page)
    settled(page)
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_in(page, url, name="admin", password=server.PASSWORD):
    """Sign in, and wait until the page is there and the browser has the cookie."""
    page.goto(url)
    fill_in(page, name, password)
    signed_in(page)
    for _ in range(100):
        if any(cookie["name"] == "continual_ml" for cookie in page.context.cookies()):
            break
        page.wait_for_timeout(100)
    settled(page)


def signed_in(page):
    page.get_by_role("button", name="Sign out", exact=True).wait_for(timeout=60_000, state="attached")


def signed_out(page, seconds=60):
    page.get_by_label("Password", exact=True).wait_for(timeout=seconds * 1_000)


def press(page, name, nth=0):
    """Press the button, once the page stands still: a press while it is drawn may get lost."""
    settled(page)
    page.get_by_role("button", name=name, exact=True).nth(nth).click()


def told(page, text, seconds=60):
    """Wait until the page says this; what it says instead is in the failure."""
    from playwright.sync_api import TimeoutError as TooLong

    try:
        page.get_by_text(text).first.wait_for(timeout=seconds * 1_000)
    except TooLong:
        raise AssertionError(f"{text!r} is not on the page: {page.inner_text('body')[-1500:]}") from None

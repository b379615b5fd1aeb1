"""Pictures of every page from the running app, light and dark, and of the first ones on a phone: `make screenshots`.

A real stream is played until a challenger has taken over; then the stream is paused, a report made, and each page taken.
"""

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TARGET = ROOT / "docs" / "images"
WIDE, PHONE = (1440, 1000), (390, 844)
PAGES = {  # name: address, and the tab that is opened
    "overview": ("", ""),
    "data": ("data", ""),
    "models": ("models", ""),
    "predict": ("predict", ""),
    "monitoring": ("monitoring", ""),
    "performance": ("monitoring", "Performance"),
    "quality": ("monitoring", "Data quality"),
    "decisions": ("decisions", ""),
    "decision": ("decisions?id={retrain}", ""),
    "alerts": ("alerts", ""),
    "reports": ("reports", ""),
    "automation": ("automation", ""),
    "health": ("app-health", ""),
    "admin": ("admin", ""),
    "account": ("account", ""),
}
ON_A_PHONE = ("overview", "monitoring", "decision")


def settled(page: Any) -> None:
    """Wait until the script has ended and nothing is still being drawn."""
    page.locator("[data-test-script-state=notRunning]").wait_for(timeout=60_000)
    until = time.monotonic() + 30
    while page.locator("[data-testid=stSkeleton]").count() and time.monotonic() < until:
        page.wait_for_timeout(300)
    page.wait_for_timeout(1_500)


def sign_in(page: Any, url: str, password: str) -> None:
    page.goto(url)
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for(timeout=60_000)


def play(page: Any) -> str:
    """Play the electricity stream until a second champion reigns; the number of the newest retrain."""
    page.get_by_role("button", name="Play electricity").click(timeout=60_000)
    page.wait_for_timeout(12_000)
    page.screenshot(path=TARGET / "first-minute-light.png")
    until = time.monotonic() + 300
    while time.monotonic() < until and not re.search(r"Champion\s+v([4-9]|1\d)", page.inner_text("body")):
        page.wait_for_timeout(2_000)
    page.get_by_role("button", name="Pause stream").click()
    page.wait_for_timeout(10_000)
    links = page.locator("a[href*='decisions?id=']").all()
    for link in links:
        if "Retrain" in (link.locator("xpath=ancestor::p").inner_text() or ""):
            found = re.search(r"id=(\d+)", link.get_attribute("href") or "")
            if found:
                return found[1]
    return "1"


def take(page: Any, url: str, name: str, view: str, height: int, retrain: str) -> None:
    address, tab = PAGES[name]
    page.goto(f"{url}/{address.format(retrain=retrain)}")
    page.wait_for_timeout(1_500)
    settled(page)
    if tab:
        page.get_by_role("tab", name=tab).click()
        settled(page)
    width = page.viewport_size["width"]
    whole = page.evaluate(
        "Math.max(...[...document.querySelectorAll('[data-testid=stMain]')].map(e => e.scrollHeight))"
    )
    page.set_viewport_size({"width": width, "height": min(max(height, int(whole)), 3_000)})
    page.wait_for_timeout(1_200)
    page.screenshot(path=TARGET / f"{name}-{view}.png")
    page.set_viewport_size({"width": width, "height": height})
    print(f"docs/images/{name}-{view}.png", flush=True)


def main() -> None:
    from playwright.sync_api import sync_playwright

    from scripts.browser import found
    from tests import server

    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = server.start(Path(folder) / "data")
        browser = playwright.chromium.launch(executable_path=found(), args=FLAGS)
        retrain = ""
        for view, (width, height) in (("light", WIDE), ("dark", WIDE), ("phone", PHONE)):
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme="dark" if view == "dark" else "light"
            )
            sign_in(page, app.url, server.PASSWORD)
            retrain = retrain or play(page)
            for name in PAGES if view != "phone" else ON_A_PHONE:
                take(page, app.url, name, view, height, retrain)
            page.close()
        browser.close()
        app.stop()


if __name__ == "__main__":
    main()

"""The README's picture, from the running app: `make screenshots` plays the electricity stream and looks."""

import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
VIEWS = {"light": (1440, 1000), "dark": (1440, 1000), "phone": (390, 844)}


def main() -> None:
    from playwright.sync_api import sync_playwright

    from scripts.browser import found
    from tests import server

    target = ROOT / "docs" / "images"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = server.start(Path(folder) / "data")
        browser = playwright.chromium.launch(executable_path=found(), args=FLAGS)
        for view, (width, height) in VIEWS.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme="dark" if view == "dark" else "light"
            )
            page.goto(app.url)
            page.get_by_label("Name").fill("admin")
            page.get_by_label("Password", exact=True).fill(server.PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            if view == "light":
                page.get_by_role("button", name="Play electricity").click(timeout=30_000)
                until = time.monotonic() + 150
                while time.monotonic() < until and not re.search(r"Champion\s+v1[1-9]", page.inner_text("body")):
                    page.wait_for_timeout(2_000)
                page.get_by_role("button", name="Pause stream").click()
            page.wait_for_timeout(12_000)
            page.screenshot(path=target / f"overview-{view}.png")
            print(f"docs/images/overview-{view}.png")
        browser.close()
        app.stop()


if __name__ == "__main__":
    main()

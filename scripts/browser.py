"""Make sure there is a browser for the end-to-end tests; say how to get one where that cannot be done here."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def found() -> str | None:
    """A browser of the system's, or the one Playwright downloaded."""
    if path := next((path for name in NAMES if (path := shutil.which(name))), None):
        return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
        return path if os.path.exists(path) else None


def main() -> int:
    if found():
        return 0
    attempts = [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        attempts = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"], *attempts]
    for command in attempts:
        if found():
            return 0
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if found():
        return 0
    print("No browser for the end-to-end tests: install chromium, or run pytest -m 'not e2e'", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

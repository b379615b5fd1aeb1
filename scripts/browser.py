"""Make sure there is a Chromium for the end-to-end tests; where it cannot be had, say how to get one.

A browser of the system is taken first, then the one Playwright has downloaded. If there is neither, it is fetched: by
the system's own packages where we may install them, else by Playwright, which does not reach its server from everywhere.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FETCH_SECONDS = 300


def found() -> str | None:
    """The path of a browser that can be started, if there is one."""
    if path := next((path for name in NAMES if (path := shutil.which(name))), None):
        return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def fetches() -> list[list[str]]:
    """The commands that may bring a browser, best first."""
    download = [sys.executable, "-m", "playwright", "install", "chromium"]
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        return [download]
    return [
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
        download,
    ]


def fetched(command: list[str]) -> bool:
    """Whether there is a browser after the command, which is given some minutes and no questions."""
    try:
        subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=FETCH_SECONDS,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pass
    return found() is not None


def main() -> int:
    if found() or any(fetched(command) for command in fetches()):
        return 0
    print(
        "The end-to-end tests need Chromium, and it could not be fetched. Install chromium or google-chrome, "
        "or run the other tests: .venv/bin/python -m pytest -m 'not e2e and not soak'",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())

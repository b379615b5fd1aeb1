"""Photographs of our own documents, by a headless Chromium that is started for them and ends with them.

The browser is driven by choreographer, the engine below kaleido: about three seconds for a PNG, its thumbnail and a
PDF together, and no memory held in between. The documents carry all they need and forbid themselves to load anything;
scripts are off and every address is blocked besides.
"""

import asyncio
import os
import signal
import threading
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from choreographer import Browser
from choreographer.browsers.chromium import Chromium

from core.errors import PicturesOff
from core.words import mark

SECONDS = 60.0  # for everything; a browser that takes longer is killed
CLOSING_SECONDS = 10.0
THUMBNAIL_SCALE = 0.4
NONE_FOUND = mark(
    "No Chromium or Chrome was found: reports are made as HTML, without PNG and PDF. Install chromium, or name a browser"
    " in BROWSER_PATH"
)
FOUND = mark("Pictures are taken by {path}")
FONTS_READY = "document.fonts.ready.then(() => document.fonts.size)"

_turn = threading.Lock()  # a browser takes some 300 MB: one at a time


@dataclass(frozen=True)
class Pictures:
    """Whether PNG and PDF can be made here; ``sentence`` says why, with the browser's ``path`` as its parameter."""

    available: bool
    sentence: str
    path: str = ""


@dataclass(frozen=True)
class Shots:
    """The card as PNG of exactly the asked size, the same at `THUMBNAIL_SCALE`, and the page as A4 PDF."""

    png: bytes
    thumbnail: bytes
    pdf: bytes


def pictures_available() -> Pictures:
    """Whether a browser is there to take pictures, and what to do if not. Takes a millisecond."""
    path = os.environ.get("BROWSER_PATH") or Chromium.find_browser(skip_local=False)
    if not path or not os.access(path, os.X_OK):
        return Pictures(False, NONE_FOUND)
    return Pictures(True, FOUND, str(path))


def photograph(slide: str, page: str, *, size: tuple[int, int], seconds: float = SECONDS) -> Shots:
    """Pictures of the ``slide`` (PNG of ``size`` pixels, and a thumbnail) and of the ``page`` (PDF), both whole HTML
    documents. Raises PicturesOff when there is no browser, or when it fails or takes longer than ``seconds``."""
    found = pictures_available()
    if not found.available:
        raise PicturesOff(NONE_FOUND)
    with _turn:
        try:
            return asyncio.run(_photograph(found.path, slide, page, size, seconds))
        except TimeoutError:
            raise PicturesOff(f"The browser {found.path} took longer than {seconds:g} s; it was ended") from None
        except Exception as error:
            raise PicturesOff(f"The browser {found.path} could not draw the report ({type(error).__name__})") from error


async def _photograph(path: str, slide: str, page: str, size: tuple[int, int], seconds: float) -> Shots:
    browser = Browser(path, enable_extensions=False)
    try:
        async with asyncio.timeout(seconds):
            await browser.open()
            return await _shots(browser, slide, page, size)
    except BaseException:
        _kill(browser)
        raise
    finally:
        await _close(browser)


async def _shots(browser: Browser, slide: str, page: str, size: tuple[int, int]) -> Shots:
    tab = await browser.create_tab("about:blank")  # its own first tab may still be on its way to another page

    async def ask(command: str, **params: Any) -> dict[str, Any]:
        """https://chromedevtools.github.io/devtools-protocol/"""
        answer = await tab.send_command(command, params)
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error'].get('message', '')}")
        return answer["result"]

    async def show(html: str) -> None:
        frame = (await ask("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        await ask("Page.setDocumentContent", frameId=frame, html=html)
        await ask("Runtime.evaluate", expression=FONTS_READY, awaitPromise=True)

    async def shot(scale: float) -> bytes:
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": scale}
        return b64decode((await ask("Page.captureScreenshot", format="png", clip=clip))["data"])

    await ask("Network.enable")
    await ask("Network.setBlockedURLs", urls=["*://*"])  # data: addresses, which carry the font, are none of these
    await ask("Emulation.setScriptExecutionDisabled", value=True)
    await ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    await ask("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
    await show(slide)
    png, thumbnail = await shot(1), await shot(THUMBNAIL_SCALE)
    await ask("Emulation.clearDeviceMetricsOverride")
    await show(page)
    pdf = await ask("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
    return Shots(png, thumbnail, b64decode(pdf["data"]))


async def _close(browser: Browser) -> None:
    """Close the browser and remove its folder; one that does not close in time is killed."""
    try:
        async with asyncio.timeout(CLOSING_SECONDS):
            await browser.close()
    except Exception:  # noqa: BLE001  (whatever it was: it must not hide what went wrong before)
        _kill(browser)


def _kill(browser: Browser) -> None:
    process = getattr(browser, "subprocess", None)  # there is none before it was opened
    if process is None or process.poll() is not None:
        return
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)  # it leads a process group of its own
    else:
        process.kill()
    process.wait()

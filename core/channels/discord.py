"""Discord webhooks: https://discord.com/developers/docs/resources/webhook#execute-webhook

The address of a webhook is its password. It is held in a SecretStr, and no error, log line or repr ever has it:
what goes wrong is told by its type and status only.
"""

import json
import logging
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Any

import httpx
from pydantic import SecretStr

from core.channels.base import Channel, Message
from core.errors import ChannelError
from core.records import Severity
from core.settings import Settings

PICTURE = "report.png"
DEADLINE_SECONDS = 5.0  # for the whole request: a server that drips a byte a second never times out by itself
PAUSE_SECONDS = (0.5, 3600.0)  # what a Retry-After may ask for; it has been sent in milliseconds before now
GONE = {401: "the webhook was refused", 403: "the webhook was refused", 404: "the webhook was deleted"}
ANSWER_BYTES = 65_536

# https://discord.com/developers/docs/resources/message#embed-object-embed-limits
TITLE, TEXT, FACT_NAME, FACT_VALUE, FACTS, FOOTER, TOTAL = 256, 4096, 256, 1024, 25, 2048, 6000

COLORS = {Severity.OK: 0x2E9E6B, Severity.INFO: 0x3B6FD4, Severity.WARNING: 0xD98A1F, Severity.CRITICAL: 0xC8372D}
BREAK = "\u200b"  # a space without width: keeps text readable and takes its power away


@dataclass(frozen=True)
class Answer:
    """``start`` is the beginning of the body; ``retry_after`` the header, as it came."""

    status: int
    start: bytes
    retry_after: str


class Discord:
    """One webhook."""

    name = "discord"

    def __init__(self, webhook_url: SecretStr) -> None:
        self._webhook_url = webhook_url
        self.turn = threading.Lock()

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        """Reading the certificates takes 30 ms: once is enough."""
        return httpx.create_ssl_context(trust_env=False)

    def send(self, message: Message) -> None:
        """Deliver the message. Raises ChannelError: permanent when the webhook is gone or the message is refused,
        with ``retry_after`` when Discord asks for a pause."""
        answer = self._post(payload(message), message.picture)
        status = answer.status
        if status == 429:
            pause = _pause(answer)
            raise ChannelError(f"Discord asked for a pause of {pause:g} s", retry_after=pause)
        if status in GONE:
            raise ChannelError(f"Discord answered {status}: {GONE[status]}", permanent=True)
        if 300 <= status < 500:
            raise ChannelError(f"Discord answered {status}: the message was refused", permanent=True)
        if not 200 <= status < 300:
            raise ChannelError(f"Discord answered {status}")

    def _post(self, body: dict[str, Any], picture: bytes = b"") -> Answer:
        """What Discord answered. The deadline holds whatever the server does, so the waiting is done by a thread that
        can be left behind: a read timeout starts anew with each byte, and a name lookup has none at all."""
        arrived: SimpleQueue[Answer | str] = SimpleQueue()
        # No redirect is followed and no proxy taken from the environment: the address goes to Discord or nowhere.
        client = httpx.Client(timeout=DEADLINE_SECONDS, trust_env=False, follow_redirects=False, verify=self._trusted)

        def ask() -> None:
            try:
                with client.stream("POST", self._webhook_url.get_secret_value(), **_request(body, picture)) as response:
                    start = b"".join(_start(response.iter_raw(), ANSWER_BYTES))
                    arrived.put(Answer(response.status_code, start, response.headers.get("retry-after", "")))
            except Exception as error:  # noqa: BLE001  (its text may hold the address, so only its type goes on)
                arrived.put(type(error).__name__)

        # A daemon: it holds no database, and must not keep the process from ending.
        threading.Thread(target=ask, name="discord", daemon=True).start()
        try:
            found = arrived.get(timeout=DEADLINE_SECONDS)
        except Empty:
            raise ChannelError(f"Discord did not answer within {DEADLINE_SECONDS:g} s") from None
        finally:
            client.close()
        if isinstance(found, str):
            raise ChannelError(f"Discord could not be reached ({found})")
        return found


def payload(message: Message) -> dict[str, Any]:
    """The webhook's JSON: one embed inside Discord's limits, that mentions nobody whatever the names in it say."""
    footer = f"Continual ML · alert {message.alert}"
    title = _cut(plain(message.title), TITLE)
    left = TOTAL - _size(title) - _size(footer)
    text = _cut(plain(message.text), min(TEXT, left))
    left -= _size(text)
    fields: list[dict[str, Any]] = []
    for name, value in message.facts[:FACTS]:
        shown_name, shown = _cut(plain(name), FACT_NAME) or BREAK, code(value, FACT_VALUE)
        left -= _size(shown_name) + _size(shown)
        if left < 0:
            break
        fields.append({"name": shown_name, "value": shown, "inline": True})
    embed = {
        "title": title,
        "description": text,
        "color": COLORS[message.severity],
        "fields": fields,
        "footer": {"text": footer},
        "timestamp": message.at.isoformat(),
    }
    if message.picture:
        embed["image"] = {"url": f"attachment://{PICTURE}"}
    return {
        "username": "Continual ML",
        "allowed_mentions": {"parse": []},
        "embeds": [embed | {"url": message.url} if message.url else embed],
    }


def _request(body: dict[str, Any], picture: bytes) -> dict[str, Any]:
    """How the message is posted: as JSON, or, with a picture, as a form with the file beside it.

    https://discord.com/developers/docs/reference#uploading-files
    """
    if not picture:
        return {"json": body}
    return {"data": {"payload_json": json.dumps(body)}, "files": {"files[0]": (PICTURE, picture, "image/png")}}


def plain(text: str) -> str:
    """The text with its Markdown, mentions and links made harmless; it reads the same.

    >>> plain("*new* @here") == "\\\\*new\\\\* @" + BREAK + "here"
    True
    """
    escaped = re.sub(r"[\\*_~`|\[\]]|^[#>-]", r"\\\g<0>", _line(text))
    return re.sub(r"@|<|://", lambda found: found.group()[0] + BREAK + found.group()[1:], escaped)


def code(text: str, limit: int) -> str:
    """The text in code ticks, where nothing is Markdown, at most ``limit`` characters with them.

    >>> code("a`b", 20) == "`a'b`", code("@here", 20) == "`@" + BREAK + "here`", code("", 20)
    (True, True, '`-`')
    """
    harmless = _line(text).replace("`", "'").replace("@", "@" + BREAK)
    return f"`{_cut(harmless, limit - 2) or '-'}`"


def open_channel(settings: Settings) -> Channel | None:
    """The channel, or None when no webhook is set."""
    if not settings.discord_webhook_url.get_secret_value():
        return None
    for library in ("httpx", "httpcore"):  # at INFO and DEBUG they log the whole address
        logging.getLogger(library).setLevel(logging.WARNING)
    return Discord(settings.discord_webhook_url)


def _pause(answer: Answer) -> float:
    """For how many seconds Discord wants silence, by its body or its header, within reason.

    >>> [_pause(Answer(429, *of)) for of in ((b'{"retry_after": 1.5}', "2"), (b"", "99999"), (b"?", "soon"))]
    [2.0, 3600.0, 0.5]
    """
    least, most = PAUSE_SECONDS
    in_body = re.search(rb'"retry_after"\s*:\s*(\d{1,12}(\.\d{1,6})?)', answer.start)
    in_header = re.fullmatch(r"\d{1,12}(\.\d{1,6})?", answer.retry_after.strip())
    asked = [float(found) for found in (in_body and in_body[1], in_header and in_header[0]) if found]
    return min(max([least, *asked]), most)


def _start(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The chunks up to about ``limit`` bytes."""
    size = 0
    for chunk in chunks:
        yield chunk
        size += len(chunk)
        if size > limit:
            return


def _line(text: str) -> str:
    """The text on one line, without control characters, bidirectional overrides and broken surrogates."""
    return " ".join(re.sub("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", " ", text).split())


def _size(text: str) -> int:
    """Length as Discord may count it at worst: in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` UTF-16 units, ending in an ellipsis when some are missing."""
    if _size(text) <= limit:
        return text
    kept = text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", errors="ignore")
    return kept.rstrip("\\") + "…"

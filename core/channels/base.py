"""What an alert channel is given, and what it must do with it."""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from core.records import Severity


@dataclass(frozen=True)
class Message:
    """An alert in words. ``facts`` are (name, value) pairs; ``alert`` is its id, which tells a repeat from news.

    ``picture`` is a PNG that goes with it, empty when there is none.
    """

    alert: int
    severity: Severity
    title: str
    text: str
    at: datetime
    facts: tuple[tuple[str, str], ...] = ()
    url: str = ""
    picture: bytes = field(default=b"", repr=False)


class Channel(Protocol):
    """``turn`` is held by whoever sends, so that two at a time never send the same alert."""

    name: str
    turn: threading.Lock

    def send(self, message: Message) -> None:
        """Deliver the message, or raise ChannelError within a few seconds; the error never holds the address."""
        ...

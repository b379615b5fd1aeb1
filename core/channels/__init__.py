"""Where alerts go. To add a channel: write its file here and name it below."""

from collections.abc import Callable
from dataclasses import dataclass

from core.channels import discord
from core.channels.base import Channel
from core.settings import Settings


@dataclass(frozen=True)
class Kind:
    """A channel one can have. ``setting`` names the variable that switches it on."""

    label: str
    setting: str
    open: Callable[[Settings], Channel | None]


CHANNELS: dict[str, Kind] = {"discord": Kind("Discord", "DISCORD_WEBHOOK_URL", discord.open_channel)}


def opened(settings: Settings) -> tuple[Channel, ...]:
    """The channels these settings are enough for."""
    return tuple(channel for kind in CHANNELS.values() if (channel := kind.open(settings)) is not None)

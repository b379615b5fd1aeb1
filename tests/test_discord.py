"""The Discord channel against a server that behaves well, badly and worse."""

import io
import logging
import time
import traceback
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from pydantic import SecretStr

from core import channels
from core.channels import discord
from core.channels.base import Message
from core.channels.discord import BREAK, Discord, code, payload, plain
from core.errors import ChannelError
from core.records import Severity
from core.settings import Settings
from tests.fake_discord import CANARY, FakeDiscord, complaints

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
MESSAGE = Message(
    17, Severity.WARNING, "Attention: power", "It drifts.", AT, (("feature", "nswprice"),), "https://ml.test"
)
NASTY = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="`@*_~|<>[]()#-:/\\ \u202e\ud800😀a", max_size=40),
    st.sampled_from(["@everyone", "<@&1>", "[x](http://evil)", "x" * 5000, "😀" * 3000, "```\n@here\n```", "", "\0"]),
)


@pytest.fixture
def server():
    fake = FakeDiscord()
    yield fake
    fake.close()


@pytest.fixture
def channel(server):
    return Discord(SecretStr(server.url))


def failure(channel: Discord, message: Message = MESSAGE) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        channel.send(message)
    return caught.value


def test_a_message_arrives_as_one_embed_with_color_facts_link_and_the_alert_id(server, channel):
    channel.send(MESSAGE)
    (embed,) = server.payloads[0]["embeds"]
    assert embed["title"] == "Attention: power"
    assert embed["description"] == "It drifts."
    assert embed["color"] == discord.COLORS[Severity.WARNING]
    assert embed["fields"] == [{"name": "feature", "value": "`nswprice`", "inline": True}]
    assert embed["url"] == "https://ml.test"
    assert embed["footer"] == {"text": "Continual ML · alert 17"}
    assert embed["timestamp"] == "2026-01-01T12:00:00+00:00"


def test_every_severity_has_a_color_of_its_own():
    assert len({discord.COLORS[severity] for severity in Severity}) == len(Severity)


@given(NASTY, NASTY, st.lists(st.tuples(NASTY, NASTY), max_size=40))
def test_whatever_names_hold_the_message_is_inside_discords_limits(title, text, facts):
    message = Message(1, Severity.OK, "Attention: " + title, "Because " + text, AT, tuple(facts))
    assert complaints(payload(message)) == []


@given(NASTY, NASTY)
def test_whatever_names_hold_nobody_is_mentioned_and_nothing_is_a_link(text, value):
    sent = payload(Message(1, Severity.OK, "t", "x " + text, AT, (("name", value),)))
    assert sent["allowed_mentions"] == {"parse": []}
    (embed,) = sent["embeds"]
    for shown in (embed["description"], embed["fields"][0]["value"]):
        assert "@everyone" not in shown
        assert "@here" not in shown
    assert "://" not in embed["description"]
    assert embed["fields"][0]["value"].count("`") == 2


def test_text_made_harmless_still_reads_the_same():
    assert plain("a_b") == "a\\_b"
    assert plain("see http://x").replace(BREAK, "") == "see http://x"
    assert code("a b", 10) == "`a b`"
    assert code("x" * 50, 10) == "`xxxxxxx…`"


@pytest.mark.parametrize(("asked", "pause"), [("1.5", 1.5), ("0.001", 0.5), ("86400000", 3600.0)])
def test_a_rate_limit_asks_for_a_pause_within_reason(server, channel, asked, pause):
    server.behave = lambda _: f"429 {asked}"
    error = failure(channel)
    assert error.retry_after == pause
    assert not error.permanent


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_refusal_is_permanent_and_told_by_its_status(server, channel, status):
    server.behave = lambda _: str(status)
    error = failure(channel)
    assert error.permanent
    assert str(status) in str(error)
    assert server.requests == 1, "a redirect was followed"


@pytest.mark.parametrize("how", ["500", "503", "reset", "taken_then_reset"])
def test_a_server_in_trouble_is_tried_again(server, channel, how):
    server.behave = lambda _: how
    error = failure(channel)
    assert not error.permanent
    assert error.retry_after is None


@pytest.mark.parametrize("how", ["hang", "drip_headers", "drip_body"])
def test_the_deadline_holds_however_slowly_the_server_answers(server, channel, how, monkeypatch):
    monkeypatch.setattr(discord, "DEADLINE_SECONDS", 0.3)
    server.behave = lambda _: how
    began = time.monotonic()
    error = failure(channel)
    assert time.monotonic() - began < 1.5
    assert not error.permanent


def test_a_server_that_is_not_there_is_tried_again():
    error = failure(Discord(SecretStr(f"http://127.0.0.1:9/{CANARY}")))
    assert not error.permanent
    assert "could not be reached" in str(error)


def test_no_proxy_of_the_environment_gets_to_see_the_address(server, channel, monkeypatch):
    proxy = FakeDiscord()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    channel.send(MESSAGE)
    proxy.close()
    assert (server.requests, proxy.requests) == (1, 0)


@pytest.mark.parametrize("how", ["ok", "429 1", "500", "404", "302", "400", "reset", "hang", "drip_body", "gone"])
def test_the_webhook_address_is_in_no_error_log_or_repr(server, how, monkeypatch, caplog):
    monkeypatch.setattr(discord, "DEADLINE_SECONDS", 0.2)
    server.behave = lambda _: how
    url = server.url if how != "gone" else f"http://127.0.0.1:9/{CANARY}"
    settings = Settings(_env_file=None, DISCORD_WEBHOOK_URL=url)
    (channel,) = channels.opened(settings)
    said = io.StringIO()
    sink = logger.add(said, level=0, backtrace=True, diagnose=True)
    with caplog.at_level(logging.DEBUG):
        try:
            channel.send(MESSAGE)
        except ChannelError as error:
            logger.exception("failed")
            said.write(f"{error} {error!r} {error.__context__!r} {error.__cause__!r} {traceback.format_exc()}")
    logger.remove(sink)
    said.write(f"{channel!r} {settings!r} {vars(channel)} {caplog.text}")
    assert CANARY not in said.getvalue()


def test_without_a_webhook_there_is_no_channel():
    assert channels.opened(Settings(_env_file=None)) == ()

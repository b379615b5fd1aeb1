"""Where log lines go: readable on the terminal, JSON with rotation in a file, secrets in neither."""

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

from loguru import logger

from core.settings import Settings

if TYPE_CHECKING:
    from loguru import Record

HIDDEN = "(hidden)"
# What a secret looks like wherever it comes from: webhook addresses, tokens, links to shared reports.
SHAPES = re.compile(
    r"https?://[^\s\"']*/api(?:/v\d+)?/webhooks/[^\s\"']+|cml_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}|/share/[\w-]{20,}"
)
QUIET = (
    "urllib3",
    "httpx",
    "httpcore",
    "alembic",
    "watchdog",
    "asyncio",
    "matplotlib",
    "choreographer",
    "browser_proc",
)


class _Forward(logging.Handler):
    """Hands lines of the standard logging to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(
            record.levelname if record.levelname in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") else "INFO",
            "{}", record.getMessage(),
        )  # fmt: skip


def set_up(settings: Settings) -> None:
    """Send all log lines where they belong. Safe to repeat."""
    secrets = [
        value
        for field in type(settings).model_fields
        if hasattr(getattr(settings, field), "get_secret_value")
        and (value := getattr(settings, field).get_secret_value())
    ]

    def hide(record: "Record") -> None:
        text = SHAPES.sub(HIDDEN, record["message"])
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        record["message"] = text

    logger.remove()
    logger.configure(patcher=hide)
    plain: dict[str, Any] = {"level": settings.log_level, "diagnose": False, "backtrace": False}
    logger.add(sys.stderr, format="<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}", **plain)
    logger.add(
        settings.data_dir / "logs" / "continual.jsonl", serialize=True, rotation="10 MB", retention=5, encoding="utf-8",
        **plain,
    )  # fmt: skip
    logging.basicConfig(handlers=[_Forward()], level=settings.log_level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

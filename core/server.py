"""How the process starts and ends: settings, logs, database, recovery, first administrator, and then the doors."""

import sys
from datetime import UTC, datetime

from core import accounts, auth, context, logs, recovery
from core.context import Context
from core.errors import ContinualError
from core.settings import load

_process: dict = sys.__dict__.setdefault("_continual_ml", {})  # type: ignore[type-arg]


def start() -> Context:
    """The context of this process, ready to serve; made once, however often this is called.

    Ends the process with one sentence if it cannot be.
    """
    if _process.get("started"):
        return context.current()
    try:
        settings = load()
        logs.set_up(settings)
        ctx = context.current()
        now = datetime.now(UTC)
        auth.cookie_key(settings.data_dir)
        recovery.recover(ctx, now)
        show_once(accounts.bootstrap(ctx, now), settings.port)
    except ContinualError as error:
        print(f"Continual ML cannot start. {error}", file=sys.stderr, flush=True)  # noqa: T201
        raise SystemExit(1) from None
    _process["started"] = True
    return ctx


def show_once(made: accounts.Made, port: int) -> None:
    """What the first start made, on the terminal only: it is in no log and cannot be shown again."""
    lines = []
    if made.password:
        lines += [f"  Sign in as   {made.user}", f"  password     {made.password}"]
    if made.token:
        lines += [f"  API token    {made.token}"]
    if lines:
        bar = "-" * 72
        text = "\n".join(
            [
                bar,
                "  Continual ML is set up. This is shown once: keep it.",
                *lines,
                f"  at           http://localhost:{port}",
                bar,
            ]
        )
        print(text, file=sys.stderr, flush=True)  # noqa: T201

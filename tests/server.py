"""The real app, started as its users start it, on a port and a data directory of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
PASSWORD = "correct horse battery"


@dataclass
class Server:
    """A running app. ``token`` is what it printed at its first start."""

    process: "subprocess.Popen[bytes]"
    url: str
    data_dir: Path
    log: Path
    token: str = ""

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def rss(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1]) * 1024

    def kill(self) -> None:
        """Power off: nothing gets a chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(data_dir: Path, **env: str) -> Server:
    """The app over this data directory, once it answers /health with 200."""
    data_dir.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), data_dir / f"terminal-{time.monotonic_ns()}.log"
    settings = {
        "CONTINUAL_DATA_DIR": str(data_dir), "CONTINUAL_PORT": str(port), "CONTINUAL_ADMIN_PASSWORD": PASSWORD,
        "CHECK_INTERVAL_SECONDS": "2", **env,
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env={**os.environ, **settings}, stdout=out, stderr=out
        )
    server = Server(process, f"http://127.0.0.1:{port}", data_dir, log)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            if httpx.get(f"{server.url}/health", timeout=5).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    else:
        server.kill()
        raise RuntimeError(f"the app did not become healthy: {log.read_text()[-2000:]}")
    if found := re.search(r"cml_\w+", log.read_text()):
        server.token = found[0]
    return server

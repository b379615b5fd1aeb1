"""A Discord on this machine: it checks messages as Discord does, and misbehaves as it is told."""

import email
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CANARY = "canary-Zq7-token_of_the-webhook"
LIMITS = {"title": 256, "description": 4096}


def complaints(payload: dict[str, Any]) -> list[str]:
    """What Discord would answer 400 to."""
    found = [] if 1 <= len(payload["embeds"]) <= 10 else ["1 to 10 embeds"]
    for embed in payload["embeds"]:
        sizes = {name: _size(embed.get(name, "")) for name in LIMITS}
        found += [f"{name} is {size}" for name, size in sizes.items() if not 1 <= size <= LIMITS[name]]
        fields = embed.get("fields", [])
        found += ["more than 25 fields"] if len(fields) > 25 else []
        for field in fields:
            found += [] if 1 <= _size(field["name"]) <= 256 else ["field name"]
            found += [] if 1 <= _size(field["value"]) <= 1024 else ["field value"]
        total = sum(sizes.values()) + _size(embed["footer"]["text"])
        total += sum(_size(field["name"]) + _size(field["value"]) for field in fields)
        found += [f"{total} characters in all"] if total > 6000 else []
    return found


def _parts(kind: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """The message, and the picture that came with it: JSON alone, or a form whose file the message shows."""
    if kind == "application/json":
        return json.loads(body), b""
    form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
    payload, file = json.loads(parts["payload_json"].get_payload()), parts["files[0]"]
    assert payload["embeds"][0]["image"]["url"] == f"attachment://{file.get_filename()}"
    return payload, file.get_payload(decode=True)


def _size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class FakeDiscord:
    """``behave`` names what the next request meets; ``payloads`` are those it took, ``requests`` counts all."""

    def __init__(self, behave: Callable[[int], str] = lambda number: "ok") -> None:
        self.behave = behave
        self.payloads: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self.requests = 0
        self.requested_at: list[float] = []
        self._lock = threading.Lock()
        self.released = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/webhooks/12345/{CANARY}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def alerts(self) -> list[int]:
        """The ids of the alerts it took, in the order they came."""
        return [int(p["embeds"][0]["footer"]["text"].rsplit(" ", 1)[1]) for p in self.payloads]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self._lock:
            self.requests += 1
            self.requested_at.append(time.monotonic())
            how = self.behave(self.requests)
            if how in ("ok", "taken_then_reset", "slow"):
                payload, picture = _parts(handler.headers["Content-Type"], body)
                if faults := complaints(payload):
                    how = "400"
                    body = json.dumps(faults).encode()
                else:
                    self.payloads.append(payload)
                    self.pictures += [picture] if picture else []
        if how == "hang":
            self.released.wait(30)
        elif how in ("reset", "taken_then_reset"):
            linger = struct.pack("ii", 1, 0)  # close with RST
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
            handler.close_connection = True
        elif how in ("drip_headers", "drip_body"):
            self._drip(handler, how)
        else:
            if how == "slow":
                time.sleep(0.2)
            self._reply(handler, how)

    def _reply(self, handler: BaseHTTPRequestHandler, how: str) -> None:
        status, _, rest = how.partition(" ")
        handler.send_response(204 if status in ("ok", "slow") else int(status))
        answer = json.dumps({"message": "no", "retry_after": float(rest)} if rest else {}).encode()
        if rest:
            handler.send_header("Retry-After", rest)
        if status == "302":
            handler.send_header("Location", self.url + "/elsewhere")
        if status not in ("ok", "slow"):
            handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        if status not in ("ok", "slow"):
            handler.wfile.write(answer)

    def _drip(self, handler: BaseHTTPRequestHandler, how: str) -> None:
        start = b"HTTP/1.1 200 OK\r\nX-Long: " if how == "drip_headers" else b"HTTP/1.1 200 OK\r\n\r\n"
        try:
            handler.wfile.write(start)
            while not self.released.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            pass
        handler.close_connection = True


def faulty(seed: int) -> Callable[[int], str]:
    """Behaviour of a bad day: 15 % 429, 10 % 500, 7 % reset, 5 % taken and then reset, the rest fine."""
    draw = random.Random(seed)
    kinds = ["429 2", "500", "reset", "taken_then_reset", "ok"]
    return lambda number: draw.choices(kinds, [15, 10, 7, 5, 63])[0]

"""A hub on the loopback address that takes what huggingface_hub sends, and remembers it."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Hub:
    """What the hub was sent.

    Attributes:
        address: of its API.
        status: what it answers to new repositories.
        created: kind, name and privacy of the repositories.
        files: repository -> name -> content.
        tokens: that came with requests.
    """

    address: str = ""
    status: int = 200
    created: list[tuple[str, str, bool]] = field(default_factory=list)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)


@contextmanager
def serve_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.tokens.add(self.headers.get("Authorization", "").removeprefix("Bearer "))
            status, content = _answer(hub, self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _answer(hub: Hub, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    if path == "/api/repos/create":
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        kind = asked.get("type") or "model"
        if hub.status == 200:
            hub.created.append((kind, name, bool(asked.get("private") or asked.get("visibility") == "private")))
        return hub.status, {"url": f"{hub.address}/{'datasets/' if kind == 'dataset' else ''}{name}", "error": "no"}
    if "/preupload/" in path:
        files = json.loads(body)["files"]
        answers = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]
        return 200, {"files": answers}
    if "/commit/" in path:
        repository = path.split("/commit/")[0].removeprefix("/api/")
        lines = [json.loads(line) for line in body.splitlines()]
        values = [line["value"] for line in lines if line["key"] == "file"]
        hub.files[repository] = {value["path"]: base64.b64decode(value["content"]) for value in values}
        return 200, {"commitUrl": f"{hub.address}/{repository}/commit/1", "commitOid": "1", "success": True}
    return 200, {"errors": [], "warnings": []}  # of validate-yaml

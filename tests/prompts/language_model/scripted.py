"""An OpenAI-compatible server on the loopback address that answers what a test has written down."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer of the server: a status with a body, after a pause, or a connection that is cut in the middle."""

    body: Any = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    cut: bool = False


def said(text: str, finish_reason: str = "stop", **more: Any) -> Reply:
    """A chat completion with this text."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "scripted-1", "choices": [choice]}
    return Reply(body | {"usage": usage} | more)


def refused(status: int, message: str, **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return Reply({"error": {"message": message, "type": "error"}}, status, headers)


@dataclass
class Server:
    """The server's address, what it will reply (the last reply repeats), and what it was asked.

    With `write`, it replies what that makes of the texts of the conversation.
    """

    base_url: str
    replies: list[Reply] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    write: Callable[[list[str]], Reply] | None = None

    def next(self) -> Reply:
        """The reply to the last request."""
        if self.write is not None:
            return self.write([message["content"] for message in self.requests[-1]["messages"]])
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def scripted_server() -> Iterator[Server]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append(json.loads(body))
            state.keys.append(self.headers.get("Authorization", ""))
            reply = state.next()
            time.sleep(reply.seconds)
            content = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            try:
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(content) + 100 * reply.cut))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client did not wait
                pass
            self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()

"""What the chat page talks to, in a thread: its files, and answers in OpenAI's stream that a test decides."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import llmkit

PAGE = Path(llmkit.__file__).parent / "serving" / "page"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"


class LostError(Exception):
    """The connection is cut in the middle of the answer."""


class RefusedError(Exception):
    """The request gets a status, OpenAI's error and headers."""

    def __init__(self, status: int, words: str, **headers: str) -> None:
        super().__init__(words)
        self.status, self.words, self.headers = status, words, headers


Piece = str | dict[str, Any] | threading.Event | Exception
"""Text, a whole event, something to wait for, or what goes wrong."""


class Answering:
    """What the server does and what it has seen.

    Attributes:
        answer: Pieces of the answer to a body.
        config: What `/page/config` says.
        key: What it wants as a bearer.
        seen: Bodies of the requests for answers.
        votes: Rows of `/page/votes`.
        left: Answers whose reader went away.
    """

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], Iterable[Piece]] = lambda body: ["All", " right."]
        self.config: dict[str, Any] = {"models": ["tiny"], "votes": False, "title": "llmkit", "speech": False}
        self.key = ""
        self.seen: list[dict[str, Any]] = []
        self.votes: list[dict[str, Any]] = []
        self.left = 0
        self.url = ""


class Handler(SimpleHTTPRequestHandler):
    """The routes that the page uses."""

    protocol_version = "HTTP/1.1"
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript", ".svg": "image/svg+xml"}

    def __init__(self, answering: Answering, *args: Any, **kwargs: Any) -> None:
        self.answering = answering
        super().__init__(*args, directory=str(PAGE), **kwargs)

    def log_message(self, *_: Any) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def parse_request(self) -> bool:
        """Take off the path that a proxy would, below which a test opens the page."""
        is_whole = super().parse_request()
        self.path = self.path.removeprefix("/below") if is_whole else ""
        return is_whole

    def do_GET(self) -> None:
        if self.path == "/page/config":
            self.guarded(lambda: self.json(200, self.answering.config))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/page/votes":
            self.guarded(lambda: (self.answering.votes.append(body), self.json(200, {})))
        else:
            self.answering.seen.append(body)
            self.guarded(lambda: self.stream(body))

    def guarded(self, work: Callable[[], object]) -> None:
        key = self.answering.key
        try:
            if key and self.headers["Authorization"] != f"Bearer {key}":
                raise RefusedError(401, "a key is needed")
            work()
        except RefusedError as refused:
            self.json(refused.status, {"error": {"message": refused.words}}, **refused.headers)

    def json(self, status: int, value: object, **headers: str) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        named = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, text in {**named, **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(content)

    def stream(self, body: dict[str, Any]) -> None:
        pieces = iter(self.answering.answer(body))
        first = next(pieces, "")
        if isinstance(first, RefusedError):
            raise first
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in events(first, pieces):
                data = f"data: {event}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")
        except LostError:
            self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.answering.left += 1
            self.close_connection = True


def events(first: Piece, pieces: Iterator[Piece]) -> Iterator[str]:
    """The stream's events; the last choice has the reason and the usage, unless a piece has said it."""
    finish, tokens = "stop", 0
    for piece in itertools.chain([first], pieces):
        if isinstance(piece, threading.Event):
            piece.wait(20)
        elif isinstance(piece, Exception):
            raise piece
        elif isinstance(piece, dict):
            finish = piece.get("finish", finish)
            if "finish" not in piece:
                yield json.dumps(piece)
        else:
            tokens += 1
            yield json.dumps({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
    yield json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    yield json.dumps({"choices": [], "usage": {"completion_tokens": tokens}})
    yield "[DONE]"


@contextmanager
def answering() -> Iterator[Answering]:
    """A running server on a free port of this machine."""
    state = Answering()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""An OpenAI-compatible server on this machine, in a thread, that answers from a model in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from llmkit.runtimes import Generate, Logits
from llmkit.runtimes._in_memory import InMemory

Fault = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, content: str = "", **headers: str) -> Fault:
    """A reply with a status, the same text for everybody, and headers with underscores for dashes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        body = content.encode()
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Served:
    """What the server does and what it has seen.

    Attributes:
        faults: What is answered in the place of the next replies to POST.
        seen: Path, headers and body of each POST.
        models: What it lists, with the longest row.
        change: Changes every reply.
        key: What it wants as a bearer.
        length: How it says what the longest row is.
    """

    def __init__(self, running: InMemory | None = None) -> None:
        self.running, self.lock = running, threading.Lock()
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.models: dict[str, int | None] = {"tiny": None}
        self.change: Callable[[dict[str, Any]], dict[str, Any]] = lambda reply: reply
        self.key = ""
        self.url = ""
        self.length: Callable[[int | None], dict[str, Any]] = lambda most: {"max_model_len": most}

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = body["prompt"]
        assert all(isinstance(one, int) for one in ids)
        choice: dict[str, Any] = self.written(ids, body)
        if body.get("echo"):
            (logits,) = self.running.answer([Logits((*ids, 0))])
            chances = torch.log_softmax(torch.from_numpy(logits), -1)
            found = [float(chances[place, one]) for place, one in enumerate(ids[1:])]
            choice["logprobs"] = {"token_logprobs": [None, *found, -0.5]}
        usage = {"prompt_tokens": len(ids), "completion_tokens": 1 if body.get("echo") else body["max_tokens"]}
        return {"object": "text_completion", "choices": [choice], "usage": usage}

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = self.running.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"]
        choice = self.written(ids, body)
        return {"choices": [{**choice, "message": {"role": "assistant", "content": choice.pop("text")}}]}

    def written(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        asked = Generate(
            tuple(ids), body["max_tokens"], tuple(body.get("stop", ())), body["temperature"], body.get("seed", 0)
        )
        (new,) = self.running.answer([asked])
        return {"index": 0, "text": new.text, "finish_reason": "stop" if new.ended else "length"}


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Run a server on a free port; `served.url` is its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path != "/v1/models":
                return status(404, "nothing here")(self)
            if self.refuses():
                return None
            listed = [{"id": name, **served.length(most)} for name, most in served.models.items()]
            return status(200, json.dumps({"object": "list", "data": listed}))(self)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with served.lock:
                served.seen.append((self.path, dict(self.headers), body))
                fault = served.faults.pop(0) if served.faults else None
            if fault is not None:
                return fault(self)
            if self.refuses():
                return None
            answer = {"/v1/completions": served.completion, "/v1/chat/completions": served.chat}.get(self.path)
            if answer is None:
                return status(404, "nothing here")(self)
            with served.lock:
                reply = served.change(answer(body))
            return status(200, json.dumps(reply))(self)

        def refuses(self) -> bool:
            if not served.key or self.headers.get("Authorization") == f"Bearer {served.key}":
                return False
            status(401, json.dumps({"error": {"message": f"no: {self.headers.get('Authorization')}"}}))(self)
            return True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

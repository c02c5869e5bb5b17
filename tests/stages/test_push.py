"""llmkit push, to a server on this machine that answers as the hub does: what goes there, and what stays."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROBE = ["-s", "parity_prompts=1", "-s", "parity_new_tokens=2"]


class Hub(BaseHTTPRequestHandler):
    """Takes every file as it is, and remembers all."""

    seen: dict[str, object] = {}
    refuses: bool = False

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refuses:
            return self.say({"error": "no"}, 403)
        if self.path == "/api/repos/create":
            self.seen["created"] = json.loads(body)
            return self.say({"url": f"http://{self.headers['Host']}/you/mine"})
        if self.path == "/api/validate-yaml":
            return self.say({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self.say(
                {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]}
            )
        lines = [json.loads(line) for line in body.splitlines()]
        self.seen["message"] = lines[0]["value"]["summary"]
        self.seen["files"] = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines[1:]}
        return self.say(
            {"commitUrl": f"http://{self.headers['Host']}/you/mine/commit/1", "commitOid": "1", "success": True}
        )

    def do_GET(self):
        self.say({"id": "you/mine", "sha": "1", "siblings": [], "name": "you", "orgs": []})

    def say(self, answer, code=200):
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path) -> Iterator[type[Hub]]:
    """The server; `push` runs in a process of its own, where the network is not switched off."""
    handler = type("OwnHub", (Hub,), {"seen": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_TOKEN": "hf_secret",
        "HF_HOME": str(tmp_path / "hf"),
    }

    def push(*arguments, **changed):
        command = [sys.executable, "-m", "llmkit", "push", *map(str, arguments)]
        env = {name: value for name, value in (environment | changed).items() if value}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)

    handler.push = staticmethod(push)
    yield handler
    server.shutdown()
    server.server_close()


def test_an_export_goes_there_with_its_card_and_receipt(cli, chain, hub, reload_here):
    assert cli("export", "--model", chain.model, *PROBE, "-o", "out", "-q").code == 0
    done = hub.push("out", "--to", "you/mine", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    names = {"README.md", "parity.json", "model.safetensors", "config.json", "generation_config.json",
             "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}  # fmt: skip
    assert set(found["files"]) == set(hub.seen["files"]) == names
    for name, content in hub.seen["files"].items():
        assert content == Path("out", name).read_bytes()
    assert hub.seen["created"] == {"name": "mine", "organization": "you", "visibility": "private", "type": "model"}
    assert hub.seen["message"].startswith("export ")
    corpus = hub.push(chain.corpus, "--to", "you/texts", "--public")
    assert corpus.returncode == 0, corpus.stderr
    assert hub.seen["created"] == {"name": "texts", "organization": "you", "visibility": "public", "type": "dataset"}
    assert "data-00000.parquet" in hub.seen["files"]
    assert "push: 2 files, " in corpus.stdout


def test_what_is_wrong_is_said(cli, chain, hub):
    for arguments, code, words in [
        ([chain.corpus, "--to", "mine"], 2, "--to mine: should be OWNER/NAME"),
        ([chain.root, "--to", "you/mine"], 3, "DIR: "),
    ]:
        done = cli("push", *arguments)
        assert done.code == code
        assert words in done.err
    hub.refuses = True
    refused = hub.push(chain.corpus, "--to", "you/mine")
    assert refused.returncode == 4
    assert "the hub answers 403 to you/mine" in refused.stderr
    assert "hf_secret" not in refused.stderr + refused.stdout
    away = hub.push(chain.corpus, "--to", "you/mine", HF_ENDPOINT="http://127.0.0.1:9")
    assert away.returncode == 4
    assert "the hub is not reached" in away.stderr

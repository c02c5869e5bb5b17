"""push: what is sent of an artifact, to a hub on this machine, and what is refused."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

# The hub's client hands files on in a way that its own library of HTTP would rather not have.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
FILES = {
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json",
}  # fmt: skip


class Hub(ThreadingHTTPServer):
    """The few routes that are needed, as the hub documents them; it keeps what it is sent.

    Attributes:
        repositories: Whether each is private, by kind and name.
        files: What was sent, by name.
        refuses: Status of all answers to what writes, if any.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Routes)
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.stored: dict[str, bytes] = {}
        self.seen: list[str] = []
        self.tokens: set[str | None] = set()
        self.message, self.refuses = "", 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Routes(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._note()
        name = self.path.removeprefix("/api/").partition("?")[0]
        if name not in self.server.repositories:
            self._reply({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        self._reply({"id": name.partition("/")[2], "private": self.server.repositories[name], "siblings": []})

    def do_POST(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuses:
            self._reply({"error": "no"}, self.server.refuses)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization") or "me", asked["name"])))
            kind, private = asked.get("type", "model"), asked.get("private", asked.get("visibility") == "private")
            self.server.repositories[f"{kind}s/{name}"] = private
            self._reply({"url": f"{self.server.address}/{name}"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            large = [{"path": one["path"], "uploadMode": _mode(one["path"]), "shouldIgnore": False} for one in files]
            self._reply({"files": large})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            done = [{**one, "actions": {"upload": {"href": f"{self.server.address}/{one['oid']}"}}} for one in objects]
            self._reply({"transfer": "basic", "objects": done})
        elif self.path == "/api/validate-yaml":
            self._reply({"errors": [], "warnings": []})
        else:
            self._commit(body)

    def do_PUT(self) -> None:
        self.server.stored[self.path[1:]] = b"".join(self._content())
        self._reply({})

    def _content(self) -> Iterator[bytes]:
        if length := self.headers["Content-Length"]:
            yield self.rfile.read(int(length))
            return
        while size := int(self.rfile.readline(), 16):  # in chunks
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _commit(self, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.server.message = value["summary"]
            elif line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.stored[value["oid"]]
        self._reply({"commitUrl": f"{self.server.address}/me/it/commit/1", "commitOid": "1"})

    def _note(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.server.tokens.add(self.headers["Authorization"])

    def _reply(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)


def _mode(name: str) -> str:
    return "lfs" if name.endswith(".safetensors") else "regular"


@pytest.fixture
def hub(monkeypatch):
    import huggingface_hub.constants

    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_test")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # a hub of one's own has no such store
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def model(chain):
    return chain.model


def test_files_arrive_in_a_private_repository(cli, model, hub):
    outcome = cli("push", model, "--to", "me/it")
    assert outcome.code == 0, outcome.err
    assert hub.repositories == {"models/me/it": True}
    # Neither llmkit.json, which names folders of this machine, nor the pages, which show samples.
    assert hub.files.keys() == FILES
    for name, content in hub.files.items():
        assert content == (model / name).read_bytes()
    assert hub.message.startswith("model ")
    assert hub.tokens == {"Bearer hf_of_this_test"}
    assert f"are at {hub.address}/me/it" in outcome.out


def test_a_dry_run_lists_the_files_and_asks_nobody(cli, model, hub):
    outcome = cli("push", model, "--to", "me/it", "--dry-run", "--json")
    assert outcome.code == 0
    assert outcome.json["status"] == "dry run"
    assert set(outcome.json["files"]) == FILES
    outcome = cli("push", model, "--to", "me/it", "--dry-run")
    assert "would go to the private model me/it" in outcome.out
    assert hub.seen == []


def test_corpora_are_data(cli, chain, hub):
    outcome = cli("push", chain.corpus, "--to", "me/text", "--public")
    assert outcome.code == 0, outcome.err
    assert hub.repositories == {"datasets/me/text": False}
    assert hub.files.keys() == {"README.md", "data-00000.parquet"}


def test_an_index_is_data_and_scores_stay(cli, jsonl, hub, tmp_path):
    assert cli("index", "-i", jsonl("pages.jsonl", [{"text": "Lima lies by the sea."}]), "-o", "idx").code == 0
    outcome = cli("push", "idx", "--to", "me/pages")
    assert outcome.code == 0, outcome.err
    assert hub.repositories == {"datasets/me/pages": True}
    assert {"README.md", "data-00000.parquet", "index.json", "bm25/vocab.index.json"} <= hub.files.keys()
    assert not {"llmkit.json", "inputs.jsonl"} & hub.files.keys()
    assert str(tmp_path).encode() not in b"".join(hub.files.values())
    manifest = json.loads(Path("idx/llmkit.json").read_text())
    Path("idx/llmkit.json").write_text(json.dumps(manifest | {"stage": "eval", "kind": "eval"}))
    outcome = cli("push", "idx", "--to", "me/pages", "--dry-run")
    assert outcome.code == 3
    assert "idx holds an eval, which stays here" in outcome.err
    assert "llmkit export" not in outcome.err


def test_a_repository_that_everybody_sees(cli, model, hub):
    hub.repositories["models/me/it"] = False
    outcome = cli("push", model, "--to", "me/it")
    assert outcome.code == 2
    assert "error: me/it is on the hub, and everybody may see it" in outcome.err
    assert "--public pushes to it all the same" in outcome.err
    assert hub.files == {}
    assert cli("push", model, "--to", "me/it", "--public").code == 0
    assert hub.files


def test_an_export_that_nothing_has_proven(cli, model, hub, tmp_path):
    copied = tmp_path / "unproven"
    shutil.copytree(model, copied)
    manifest = json.loads((copied / "llmkit.json").read_text())
    parity = {"passed": False, "proven": False, "failures": ["onnxruntime is missing"]}
    manifest |= {"stage": "export", "kind": "export", "metrics": {"parity": parity}}
    (copied / "llmkit.json").write_text(json.dumps(manifest))
    outcome = cli("push", copied, "--to", "me/it")
    assert outcome.code == 7
    assert "is an export that nothing has proven: it stays here" in outcome.err
    assert hub.seen == []


def test_damage_is_not_sent(cli, model, hub, tmp_path):
    copied = tmp_path / "damaged"
    shutil.copytree(model, copied)
    (copied / "config.json").write_bytes((copied / "config.json").read_bytes().replace(b"llama", b"lxama"))
    outcome = cli("push", copied, "--to", "me/it")
    assert outcome.code == 3
    assert "is damaged: config.json is not what was written" in outcome.err
    assert hub.seen == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_write(cli, model, hub, status):
    hub.refuses = status
    outcome = cli("push", model, "--to", "me/it")
    assert outcome.code == 4
    assert f"the hub answers {status} to me/it: " in outcome.err
    assert "hf auth login" in outcome.err
    assert "hf_of_this_test" not in outcome.err


def test_nobody_answers(cli, model, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    outcome = cli("push", model, "--to", "me/it")
    assert outcome.code == 4
    assert "error: the hub is not reached: " in outcome.err
    assert "HF_ENDPOINT=URL names another" in outcome.err


def test_no_network_is_used_where_the_hub_is_switched_off(cli, model):
    outcome = cli("push", model, "--to", "me/it")
    assert outcome.code == 4
    assert "the hub is switched off by HF_HUB_OFFLINE" in outcome.err


@pytest.mark.parametrize("name", ["mine", "a/b/c", "me/..", "", "me/has space"])
def test_names_that_no_repository_has(cli, model, name):
    outcome = cli("push", model, "--to", name)
    assert outcome.code == 2
    assert f"error: --to {name}: should be OWNER/NAME" in outcome.err


def test_what_is_no_artifact(cli, tmp_path):
    outcome = cli("push", tmp_path, "--to", "me/it")
    assert outcome.code == 3
    assert cli("push", tmp_path / "nothing", "--to", "me/it").code == 3


@pytest.mark.usefixtures("reload_here")
def test_export_pushes_what_it_has_proven(cli, chain, hub):
    probe = ["-s", "parity_prompts=1", "-s", "parity_new_tokens=2"]
    outcome = cli("export", "--model", chain.model, *probe, "--push", "a/b/c", "-o", "out")
    assert outcome.code == 2
    assert "error: --push a/b/c: should be OWNER/NAME" in outcome.err
    assert not Path("out").exists()
    assert cli("export", "--model", chain.model, *probe, "--push", "me/it", "--json", "-o", "out").code == 2
    outcome = cli("export", "--model", chain.model, *probe, "--push", "me/it", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert hub.files["model.safetensors"] == Path("out/model.safetensors").read_bytes()
    assert outcome.out.splitlines()[-1].startswith("push: ")


def test_export_asks_the_hub_before_it_works(cli, chain, hub, monkeypatch):
    command = ["export", "--model", chain.model, "--push", "me/it", "-o", "out"]
    hub.repositories["models/me/it"] = False
    outcome = cli(*command)
    assert outcome.code == 2
    assert "error: me/it is on the hub, and everybody may see it" in outcome.err
    hub.repositories.clear()
    monkeypatch.delenv("HF_TOKEN")
    outcome = cli(*command)
    assert outcome.code == 4
    assert "error: the hub does not know who you are" in outcome.err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    outcome = cli(*command)
    assert outcome.code == 4
    assert "error: the hub is switched off by HF_HUB_OFFLINE" in outcome.err
    assert not Path("out").exists()
    assert hub.files == {}

"""export --format deployment: a folder whose own script serves the model, with the answers of the model."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

import llmkit
import tiny
from headed import BODY
from llmkit.modeling.pooling import Pooling, write_pooling
from onnx_models import save_reader

PROBE = ("-s", "parity_prompts=1", "-s", "parity_new_tokens=6")
ROUTES = {"/invocations of SageMaker": "3 of 3", "predictions of Vertex AI": "3 of 3"}


@pytest.fixture
def deploy(cli, chain, reload_here):
    """Export the chain's model; only the server runs in a process of its own."""

    def run(*more, out="out"):
        return cli("export", "--model", chain.model, "--format", "deployment", *PROBE, "-o", out, *more)

    return run


def test_the_handlers_of_both_platforms_answer_as_the_model(deploy):
    """And a user's view of the folder: whole, with a card that says how it is started, and without this machine."""
    done = deploy("-s", "exporter.name=small-llama", "-s", "exporter.port=9090")
    assert done.code == 0, done.err
    receipt = json.loads(Path("out/parity.json").read_text(encoding="utf-8"))
    assert receipt["passed"] and receipt["proven"]
    assert receipt["served"] == ROUTES
    assert "3 of 3 answers of /invocations of SageMaker" in done.out
    names = {path.name for path in Path("out").iterdir()}
    wheel = f"llmkit-{llmkit.__version__}-py3-none-any.whl"
    assert names == {
        ".dockerignore", "Dockerfile", "README.md", "compose.yaml", "llmkit.json", wheel, "model", "parity.json",
        "requirements.txt", "serve", "small-llama.service",
    }  # fmt: skip
    assert Path("out/model/model.safetensors").is_file()
    assert "docker run --rm -p 127.0.0.1:9090:8080 small-llama" in Path("out/README.md").read_text(encoding="utf-8")
    for name in ("Dockerfile", "compose.yaml", "serve", "small-llama.service", "requirements.txt"):
        assert str(Path.cwd()) not in Path("out", name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_gguf_file_is_served_by_llama_cpp(deploy):
    done = deploy("-s", "exporter.format={type: gguf, dtype: float16}")
    assert done.code == 0, done.err
    assert json.loads(Path("out/parity.json").read_text(encoding="utf-8"))["served"] == ROUTES
    assert "--runtime llama_cpp" in Path("out/serve").read_text(encoding="utf-8")
    pins = Path("out/requirements.txt").read_text(encoding="utf-8")
    assert f"xllamacpp=={version('xllamacpp')}\n" in pins


@pytest.mark.slow
def test_a_server_that_answers_otherwise_fails_the_export(deploy, chain, monkeypatch):
    """The folder's script starts another model: what is served is asked, not what lies there."""
    from llmkit.exporters import _deployment_files as files

    other = Path("other")
    monkeypatch.setattr(files, "_SCRIPT", files._SCRIPT.replace("${{MODEL:-$here/{model}}}", str(other.absolute())))
    model = tiny.model("llama", vocab_size=400, tie_word_embeddings=False)
    model.save_pretrained(other)
    for file in chain.model.glob("tokenizer*"):
        shutil.copy(file, other)
    done = deploy()
    assert done.code == 7
    assert "error: the server answers otherwise than the model in it: /invocations of SageMaker, request" in done.err


def test_a_server_that_does_not_start_fails_the_export(deploy, monkeypatch):
    from llmkit.exporters import _deployment_files as files

    monkeypatch.setattr(files, "_SCRIPT", "#!/bin/sh\necho 'error: no such thing' >&2\nexit 3\n")
    done = deploy()
    assert done.code == 7
    assert "error: the server does not start: error: no such thing" in done.err
    assert Path("out.failed/parity.json").is_file()


@pytest.mark.parametrize(
    ("format_", "words"),
    [
        ("quantized", "`llmkit serve` does not run quantized; exporter.format is one of gguf, onnx"),
        (
            "onnx",
            "`llmkit serve` writes no texts with onnx, but with exporter.format=gguf or exporter.format=safetensors",
        ),
        ("deployment", "exporter.format: unknown exporter 'deployment'"),
    ],
)
def test_what_is_not_served_is_refused(deploy, format_, words):
    done = deploy("-s", f"exporter.format={format_}")
    assert done.code == 2
    assert words in done.err
    assert not list(Path("out").rglob("serve"))


@pytest.mark.slow
def test_vectors_are_served_from_onnx(cli, reload_here):
    model = save_reader(Path("vectors"), "bert", BODY)
    write_pooling(model, Pooling(("mean",), normalized=True), 16)
    done = cli("export", "--model", model, "--format", "deployment", "-s", "exporter.format=onnx", *PROBE, "-o", "out")
    assert done.code == 0, done.err
    served = json.loads(Path("out/parity.json").read_text(encoding="utf-8"))["served"]
    assert served.keys() == ROUTES.keys() and len(set(served.values())) == 1


def test_a_missing_server_is_said_before_anything_is_written(deploy, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "starlette" else find(name))
    done = deploy()
    assert done.code == 4
    assert 'pip install "llmkit[serve]"' in done.err

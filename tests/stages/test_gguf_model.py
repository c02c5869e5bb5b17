"""A model in GGUF wherever a model directory is named, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gguf_files
from llmkit.modeling.load import load_model
from llmkit.modeling.tokenizer import load_tokenizer

TRAINING = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "--max-steps", "2"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_files.directory(tmp_path_factory.mktemp("gguf") / "source")


@pytest.fixture(scope="module")
def file(source: Path) -> Path:
    return gguf_files.write(source.parent / "tiny.gguf", source)


@pytest.fixture(scope="module")
def task(source: Path) -> str:
    rows = [{"messages": [{"role": "user", "content": "the river"}, {"role": "assistant", "content": word}]}
            for word in ("runs", "sleeps", "waits")] * 4  # fmt: skip
    data = source.parent / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(data)


def scores(path: str) -> dict[str, dict[str, float]]:
    tasks = json.loads((Path(path) / "results.json").read_text())["tasks"]
    (found,) = tasks.values()
    return {role: result["scores"] for role, result in found["results"].items()}


def test_eval_measures_the_file_like_the_directory(cli: Callable[..., object], source: Path, file: Path, task: str):
    assert cli("clean", "--row", "auto", "-i", task, "-o", "rows").code == 0
    asked = ["-s", "tasks=[{type: answers, data: rows}]"]
    done = cli("eval", "--model", file, "--baseline", source, *asked, "-o", "out")
    assert done.code == 0, done.err
    assert "llmkit-" not in done.out + done.err  # where the directory is made is nobody's concern
    found = scores("out")
    assert found["model"] == pytest.approx(found["baseline"], rel=1e-6)
    again = cli("eval", "--model", file, "--baseline", source, *asked, "-o", "out")
    assert "up to date" in again.out + again.err
    lineage = cli("lineage", "out", "--json").json["lineage"]
    node = next(node for node in lineage["inputs"] if node["role"] == "model")
    assert (node["path"], node["kind"], node["num_files"]) == (str(file), "files", 1)
    file_digest = [json.loads(line) for line in Path("out/inputs.jsonl").read_text().splitlines()]
    assert {"tiny.gguf"} <= {entry["name"] for entry in file_digest}


def test_finetune_goes_on_with_the_file_as_with_the_directory(cli, source: Path, file: Path, task: str):
    for name, model in (("a", file), ("b", source)):
        done = cli("finetune", "--model", model, "--data", task, *TRAINING, "-o", name)
        assert done.code == 0, done.err
    ours, theirs = load_model("a").state_dict(), load_model("b").state_dict()
    for weight in ours:
        assert torch.equal(ours[weight], theirs[weight]), weight
    assert load_tokenizer("a").chat_template == gguf_files.TEMPLATE
    assert json.loads(Path("a/generation_config.json").read_text())["eos_token_id"] is not None
    shown = cli("finetune", "--model", file, "--data", task, *TRAINING, "--preview", "1", "-o", "c")
    assert "<|turn|>user" in shown.out + shown.err


def test_tokenize_pretrain_and_export(cli, source: Path, file: Path):
    Path("texts").mkdir()
    for number in range(8):
        Path(f"texts/{number}.txt").write_text("the river runs by the old mill. " * (20 + number))
    assert cli("tokenize", "-i", "texts", "--tokenizer", file, "-o", "tokens").code == 0
    sizes = {**gguf_files.SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}
    new = ["-s", "model.arch=llama", "-s", f"model.config={json.dumps(sizes)}"]
    for name, options in {"onward": ["--model", file], "started": [*new, "--init-from", file]}.items():
        done = cli("pretrain", "--data", "tokens", *options, *TRAINING, "-o", name)
        assert done.code == 0, done.err
    done = cli("export", "--model", file, "-o", "export")
    assert done.code == 0, done.err
    ours, theirs = load_model("export").state_dict(), load_model(source).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name]) for name in ours)
    planned = cli("plan", "finetune", "--model", file, *TRAINING[:-2], "--json")
    assert planned.json["parameters"] == sum(p.numel() for p in load_model(source).parameters())


@pytest.mark.parametrize("command", ["eval", "finetune", "pretrain", "export"])
def test_a_damaged_file_is_refused_in_words(cli, file: Path, task: str, command: str):
    Path("cut.gguf").write_bytes(file.read_bytes()[:-5000])
    if command == "eval":
        assert cli("clean", "--row", "auto", "-i", task, "-o", "rows").code == 0
    more = {
        "eval": ["-s", "tasks=[{type: answers, data: rows}]"],
        "finetune": ["--data", task, *TRAINING],
        "pretrain": ["--data", "tokens", *TRAINING],
        "export": [],
    }
    done = cli(command, "--model", "cut.gguf", *more[command], "-o", "out")
    assert done.code == 3
    assert "cut.gguf cannot be read: its tensor 'blk.1.ffn_down.weight' ends at byte" in done.err
    assert "Traceback" not in done.err

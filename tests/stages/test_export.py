"""export, through the command line: what is written loads elsewhere and answers the same, or nothing is exported."""

from __future__ import annotations

import copy
import errno
import json
import sys
from pathlib import Path

import pytest
import torch

from llmkit.core.errors import CheckFailedError, SetupError
from llmkit.core.manifest import read_manifest
from llmkit.stages import export as stage

PROBE = ["-s", "parity_prompts=2", "-s", "parity_new_tokens=4"]


@pytest.fixture
def export(cli, chain, reload_here):
    """Export the fine-tuned model with a short probe."""

    def run(*more):
        return cli("export", "--model", chain.model, *PROBE, "-o", "out", *more)

    return run


def test_the_export_is_the_model(cli, chain):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    outcome = cli("export", "--model", chain.model, *PROBE, "-o", "out")
    assert outcome.code == 0
    assert "8 of 8 greedy tokens equal, in a fresh process" in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert parity["passed"] is True
    assert parity["max_logit_difference"] <= parity["tolerance"] == pytest.approx(1e-3 * parity["logit_spread"])
    assert (parity["equal_tokens"], parity["tokens"], parity["prompts"]) == (8, 8, 2)
    ours, theirs = (AutoModelForCausalLM.from_pretrained(path) for path in (chain.model, "out"))
    weights = theirs.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in ours.state_dict().items())
    chat = [{"role": "user", "content": "Q"}]
    one, two = (AutoTokenizer.from_pretrained(path) for path in (chain.model, "out"))
    assert one.apply_chat_template(chat, tokenize=False) == two.apply_chat_template(chat, tokenize=False)
    assert theirs.generation_config.eos_token_id == [0, 3]


def test_lineage_reaches_the_raw_files(export, cli, chain):
    export()
    outcome = cli("lineage", "out", "--json")
    assert outcome.code == 0
    kinds, files = [], []

    def walk(node):
        kinds.append(node["kind"])
        files.extend([node["path"]] if node["kind"] == "files" else [])
        assert node["problems"] == []
        for item in node["inputs"]:
            walk(item)

    walk(outcome.json["lineage"])
    assert kinds == ["export", "model", "examples", "files", "model", "tokens", "corpus", "files"]
    assert files == [str(chain.root / name) for name in ("pairs.jsonl", "texts.jsonl")]
    assert cli("lineage", "out", "--verify").code == 0


def test_a_narrower_dtype_is_written_and_measured(export):
    from safetensors.torch import load_file

    assert export("-s", "exporter.dtype=bfloat16").code == 0
    weights = load_file("out/model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    parity = json.loads(Path("out/parity.json").read_text())
    assert 0 < parity["max_logit_difference"] <= parity["tolerance"] == pytest.approx(0.2 * parity["logit_spread"])
    assert json.loads(Path("out/config.json").read_text())["dtype"] == "bfloat16"


def test_an_export_that_answers_differently_is_no_export(export, cli, chain):
    outcome = export("-s", "exporter.dtype=bfloat16", "-s", "exporter.max_logit_difference=0", "--json")
    assert outcome.code == 7
    assert outcome.json["kind"] == "check"
    assert f"the export does not answer like {chain.model}: logits differ by" in outcome.json["message"]
    assert "(at most 0 allowed)" in outcome.json["message"]
    assert not list(Path("out").iterdir())
    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}}}]"
    refused = cli("eval", "--model", "out", "-s", tasks, "-o", "scores")
    assert refused.code == 3


def test_other_greedy_tokens_fail_an_exact_format(export, monkeypatch):
    reload = stage._run_fresh

    def change_a_token(command):
        import numpy as np

        reload(command)
        answers = next(Path("out").rglob("answers.npz"))
        stored = dict(np.load(answers))
        stored["tokens"][0, 0] += 1
        np.savez(answers, **stored)

    monkeypatch.setattr(stage, "_run_fresh", change_a_token)
    outcome = export()
    assert outcome.code == 7
    assert "7 of 8 greedy tokens equal" in outcome.err


def test_an_export_that_does_not_load_is_no_export(cli, chain, monkeypatch):
    from llmkit.exporters.safetensors import Safetensors

    write = Safetensors.write

    def spoil(self, model, tokenizer, directory):
        write(self, model, tokenizer, directory)
        (directory / "model.safetensors").write_bytes(b"nothing")

    monkeypatch.setattr(Safetensors, "write", spoil)
    outcome = cli("export", "--model", chain.model, *PROBE, "-o", "out")
    assert outcome.code == 7
    assert "error: the export does not load: " in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_what_the_machine_does_to_the_fresh_process_says_nothing_about_the_export():
    with pytest.raises(OSError, match="No space left on device") as full:
        stage._run_fresh([sys.executable, "-c", "import errno, os; raise OSError(errno.ENOSPC, os.strerror(28))"])
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(SetupError, match=r"was killed by signal 9 \(out of memory\?\)"):
        stage._run_fresh([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    with pytest.raises(CheckFailedError, match="the export does not load: ValueError: odd"):
        stage._run_fresh([sys.executable, "-c", "raise ValueError('odd')"])


def test_the_same_export_has_the_same_id(export, cli, chain):
    export()
    outcome = cli("export", "--model", chain.model, "-s", "parity_prompts=1", "-s", "parity_new_tokens=1", "-o", "more")
    assert outcome.code == 0
    assert read_manifest(Path("more")).id == read_manifest(Path("out")).id
    assert export("--json").json["status"] == "up to date"


def test_a_model_of_zeros_does_not_pass_for_a_rounded_one(export, monkeypatch):
    from llmkit.exporters.safetensors import Safetensors

    write = Safetensors.write

    def write_zeros(self, model, tokenizer, directory):
        hollow = copy.deepcopy(model)
        for parameter in hollow.parameters():
            parameter.data.zero_()
        write(self, hollow, tokenizer, directory)

    monkeypatch.setattr(Safetensors, "write", write_zeros)
    outcome = export("-s", "exporter.dtype=bfloat16")
    assert outcome.code == 7
    assert "the export does not answer like" in outcome.err
    assert not Path("out/llmkit.json").exists()

"""export, through the command line: what is written loads elsewhere and answers the same, or nothing is exported."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from llmkit.core.manifest import read_manifest
from llmkit.evaluation import parity
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
    assert "20 of 20 greedy tokens equal, in a fresh process" in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert parity["passed"] is True
    assert parity["max_logit_difference"] <= parity["tolerance"] == pytest.approx(1e-4 * parity["logit_spread"])
    assert (parity["equal_tokens"], parity["tokens"], parity["prompts"]) == (20, 20, 5)
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
    assert not Path("out").exists(), "an empty folder would be of no use"
    assert json.loads(Path("out.failed/parity.json").read_text())["failures"] == [outcome.json["message"]]
    assert not Path("out.failed/llmkit.json").exists()
    listed = cli("tidy", ".", "--json").json["left"]
    assert [Path(item["path"]).name for item in listed] == ["out.failed"]
    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}}}]"
    refused = cli("eval", "--model", "out", "-s", tasks, "-o", "scores")
    assert refused.code == 3


def test_a_number_that_the_narrower_dtype_does_not_hold_is_named(export, cli, changed):
    def change(weights):
        weights["model.norm.weight"][0] = 1e5  # float16 ends at 65,504

    outcome = cli("export", "--model", changed(change), "-s", "exporter.dtype=float16", "-o", "out", "--json")
    assert outcome.code == outcome.json["exit_code"] == 7
    assert "what the export answers is NaN or infinite, and what" in outcome.json["message"]
    assert "use a wider dtype: float16 holds no number above 65,504" in outcome.json["hint"]


def test_other_greedy_tokens_fail_an_exact_format(export, monkeypatch):
    ask = parity.ask_afresh

    def change_a_token(*asked):
        answers = ask(*asked)
        *others, written = answers.given
        first, *more = written.ids
        return replace(answers, given=[*others, replace(written, ids=(first + 1, *more))])

    monkeypatch.setattr(parity, "ask_afresh", change_a_token)
    outcome = export()
    assert outcome.code == 7
    assert "19 of 20 greedy tokens equal" in outcome.err


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
    assert ".partial" not in outcome.err, "what is named is where it is kept"
    assert not Path("out/llmkit.json").exists()


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


SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
KINDS = {
    "bert": ("AutoModelForMaskedLM", SMALL, "480 of 480 likeliest tokens equal"),
    "roberta": ("AutoModelForMaskedLM", {**SMALL, "max_position_embeddings": 66}, "256 of 256 likeliest tokens equal"),
    "albert": ("AutoModelForPreTraining", {**SMALL, "embedding_size": 16}, "480 of 480 likeliest tokens equal"),
    "t5": (
        "AutoModelForSeq2SeqLM",
        {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0},
        "20 of 20 greedy tokens equal",
    ),
}


def save_model(kind, chain, folder):
    """A new model of a kind, as transformers saves it, with the chain's tokenizer."""
    import transformers

    auto_class, settings, _ = KINDS[kind]
    config = transformers.AutoConfig.for_model(kind, vocab_size=400, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        getattr(transformers, auto_class).from_config(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained(folder)
    return folder


@pytest.mark.usefixtures("reload_here")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model(cli, chain, kind):
    import transformers

    model = save_model(kind, chain, Path("model"))
    outcome = cli("export", "--model", model, *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    auto_class, _, words = KINDS[kind]
    assert words in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert (parity["auto_class"], parity["max_logit_difference"]) == (auto_class, 0)
    assert parity["answer"] == ("tokens" if kind == "t5" else "token_labels")
    card = Path("out/README.md").read_text(encoding="utf-8")
    assert f'model = {auto_class}.from_pretrained("DIR")' in card
    ours, theirs = (getattr(transformers, auto_class).from_pretrained(path).state_dict() for path in (model, "out"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_an_export_from_before_there_were_kinds_of_answers_still_has_its_line():
    old = {"max_logit_difference": 0, "tolerance": 0.0022, "equal_tokens": 64, "tokens": 64}
    assert stage.parity_line(old) == "logits within 0 (limit 0.0022), 64 of 64 tokens equal, in a fresh process"


@pytest.mark.usefixtures("reload_here")
@pytest.mark.parametrize(
    ("kind", "head"), [("bert", "cls.predictions.decoder.bias"), ("albert", "sop_classifier.classifier.bias")]
)
def test_an_encoder_with_another_head_is_refused(cli, chain, monkeypatch, kind, head):
    from llmkit.exporters.safetensors import Safetensors

    write = Safetensors.write

    def shift(self, model, tokenizer, directory):
        other = copy.deepcopy(model)
        other.get_parameter(head).data += 1
        write(self, other, tokenizer, directory)

    monkeypatch.setattr(Safetensors, "write", shift)
    outcome = cli("export", "--model", save_model(kind, chain, Path("model")), *PROBE, "-o", "out")
    assert outcome.code == 7
    assert "logits differ by 1 (at most " in outcome.err
    assert "likeliest tokens" in outcome.err


@pytest.mark.parametrize("kind", KINDS)
def test_only_causal_models_are_evaluated_and_fine_tuned(cli, chain, kind):
    model = save_model(kind, chain, Path("model"))
    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}}}]"
    for command in (["eval", "-s", tasks], ["finetune", "--data", chain.pairs, "--max-steps", "1"]):
        outcome = cli(*command, "--model", model, "-o", "out")
        assert outcome.code == 3
        assert "error: the model in " in outcome.err
        assert "is not a causal language model: it was saved as " in outcome.err
        assert "`llmkit pretrain --model model -s objective=" in outcome.err

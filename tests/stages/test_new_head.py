"""A head is one file: with nothing else edited its models are loaded, saved, carded, exported and refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import transformers

from llmkit.core.registry import Family
from llmkit.modeling.heads.question_answering import QuestionAnswering
from llmkit.modeling.load import load_model
from llmkit.training.finish import save_model, write_card

ROOT = Path(__file__).resolve().parents[2]
(PAIR,) = [
    code
    for code in re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/heads.md").read_text(), re.MULTILINE | re.DOTALL)
    if "class NextSentence(" in code
]
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture
def body(chain, tmp_path):
    """A BERT without a head, as transformers saves it, with the chain's tokenizer."""
    folder = tmp_path / "body"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model("bert", vocab_size=400, **SMALL)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained(folder)
    return folder


def run_card(folder, capsys):
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL).group(1)
    capsys.readouterr()
    exec(compile(code.replace('"DIR"', repr(str(folder))), "card", "exec"), {})
    return capsys.readouterr().out


def test_a_head_that_is_one_file(add_member, body, chain, cli, capsys):
    head = add_member("head", "next_sentence", PAIR)
    model = load_model(body, head, seed=5)
    assert type(model).__name__ == "BertForNextSentencePrediction"
    with torch.no_grad():
        model.cls.seq_relationship.weight.normal_()  # so that the label differs by the text
    Path("model").mkdir()
    tokenizer = transformers.AutoTokenizer.from_pretrained(body)
    save_model(Path("model"), model, tokenizer, context_length=64, end_ids=[])
    write_card(Path("model"), head, title="a judge", facts={})
    run_card(Path("model"), capsys)

    outcome = cli("export", "--model", "model", "-s", "parity_prompts=3", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "7 of 7 labels equal, in a fresh process" in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert (parity["answer"], parity["tokens"], parity["max_logit_difference"]) == ("label", 7, 0)
    assert "pipeline_tag: text-classification" in Path("out/README.md").read_text()
    run_card(Path("out"), capsys)

    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}}}]"
    refused = cli("eval", "-s", tasks, "--model", "out", "-o", "scores")
    assert refused.code == 3
    assert "is not a causal language model: it was saved as BertForNextSentencePrediction" in refused.err
    assert "llmkit pretrain" not in refused.err


def test_spans_are_compared_by_their_borders(body, cli, capsys):
    model = load_model(body, QuestionAnswering(), seed=5)
    with torch.no_grad():
        model.qa_outputs.weight.normal_()
    model.save_pretrained("model")
    transformers.AutoTokenizer.from_pretrained(body).save_pretrained("model")
    outcome = cli("export", "--model", "model", "-s", "parity_prompts=3", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "14 of 14 borders of spans equal, in a fresh process" in outcome.out
    run_card(Path("out"), capsys)


@pytest.mark.usefixtures("reload_here")
def test_spans_that_differ_are_found(body, cli, monkeypatch):
    from llmkit.exporters.safetensors import Safetensors

    load_model(body, QuestionAnswering()).save_pretrained("model")
    transformers.AutoTokenizer.from_pretrained(body).save_pretrained("model")
    write = Safetensors.write

    def turn(self, model, tokenizer, directory):
        write(self, model, tokenizer, directory)
        changed = load_model(directory)
        changed.qa_outputs.weight.data *= -1
        changed.save_pretrained(directory)

    monkeypatch.setattr(Safetensors, "write", turn)
    outcome = cli("export", "--model", "model", "-s", "parity_prompts=2", "-o", "out")
    assert outcome.code == 7
    assert re.search(r"logits differ by [\d.]+ \(at most \S+ allowed\), \d+ of 10 borders of spans equal", outcome.err)


def test_a_head_of_vectors(body, cli, capsys):
    assert type(load_model(body)).__name__ == "BertModel"  # by its config
    outcome = cli("export", "--model", body, "-s", "parity_prompts=2", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert re.search(r"numbers within 0 \(limit \S+\), in a fresh process", outcome.out)
    parity = json.loads(Path("out/parity.json").read_text())
    assert (parity["answer"], parity["equal_tokens"], parity["tokens"]) == ("vector", 0, 0)
    assert run_card(Path("out"), capsys).count(",") == 31


def test_without_the_file_nothing_is_left_of_it():
    assert "next_sentence" not in Family("head").members()

"""A head is one file: with nothing else edited its models are loaded, saved, carded, exported and refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import transformers

from llmkit.core.registry import Family
from llmkit.modeling.load import load_model
from llmkit.training.finish import save_model, write_card

ROOT = Path(__file__).resolve().parents[2]
(SPAN,) = [
    code
    for code in re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/heads.md").read_text(), re.MULTILINE | re.DOTALL)
    if "class QuestionAnswering(" in code
]
VECTOR = '''"""Bodies alone: a text as a point."""

from __future__ import annotations

from typing import ClassVar

from llmkit.modeling.heads import Answer, Head


class Vector(Head):
    """Nothing on a body."""

    auto_class: ClassVar[str] = "AutoModel"
    table: ClassVar[str] = "MODEL_MAPPING_NAMES"
    refusal: ClassVar[str] = "is no body"
    examples: ClassVar[str] = "bert"
    pipeline: ClassVar[str] = "feature-extraction"

    @property
    def answer(self) -> Answer:
        """A vector."""
        return "vector"

    def usage(self, *, chat: bool = False) -> str:
        """Return code that prints a text's first token's vector."""
        return 'print(len(model(**tokenizer("...", return_tensors="pt"))[0][0, 0]))'
'''
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


def test_a_head_of_spans(add_member, body, chain, cli, capsys):
    head = add_member("head", "question_answering", SPAN)
    model = load_model(body, head, seed=5)
    assert type(model).__name__ == "BertForQuestionAnswering"
    with torch.no_grad():
        model.qa_outputs.weight.normal_()  # so that the likeliest borders differ by the text
    Path("model").mkdir()
    tokenizer = transformers.AutoTokenizer.from_pretrained(body)
    save_model(Path("model"), model, tokenizer, context_length=64, end_ids=[])
    write_card(Path("model"), head, title="a reader", facts={})
    run_card(Path("model"), capsys)

    outcome = cli("export", "--model", "model", "-s", "parity_prompts=3", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "6 of 6 borders of spans equal, in a fresh process" in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert (parity["answer"], parity["tokens"], parity["max_logit_difference"]) == ("span", 6, 0)
    assert "pipeline_tag: question-answering" in Path("out/README.md").read_text()
    run_card(Path("out"), capsys)

    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}}}]"
    refused = cli("eval", "-s", tasks, "--model", "out", "-o", "scores")
    assert refused.code == 3
    assert "is not a causal language model: it was saved as BertForQuestionAnswering" in refused.err
    assert "llmkit pretrain" not in refused.err


@pytest.mark.usefixtures("reload_here")
def test_spans_that_differ_are_found(add_member, body, cli, monkeypatch):
    from llmkit.exporters.safetensors import Safetensors

    load_model(body, add_member("head", "question_answering", SPAN)).save_pretrained("model")
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
    assert re.search(r"logits differ by [\d.]+ \(at most \S+ allowed\), \d of 4 borders of spans equal", outcome.err)


def test_a_head_of_vectors(add_member, body, cli, capsys):
    add_member("head", "vector", VECTOR)
    assert type(load_model(body)).__name__ == "BertModel"  # by its config: a body is somebody's model now
    outcome = cli("export", "--model", body, "-s", "parity_prompts=2", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert re.search(r"numbers within 0 \(limit [\d.]+\), in a fresh process", outcome.out)
    parity = json.loads(Path("out/parity.json").read_text())
    assert (parity["answer"], parity["equal_tokens"], parity["tokens"]) == ("vector", 0, 0)
    assert run_card(Path("out"), capsys) == "32\n"


def test_without_the_file_nothing_is_left_of_it(body, cli):
    assert "vector" not in Family("head").members()
    outcome = cli("export", "--model", body, "-o", "out")
    assert outcome.code == 3
    assert "weights of BertLMHeadModel" in outcome.err

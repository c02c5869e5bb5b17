"""Runtimes, adapters and heads of the user's own: what runs a model, what of it is trained, and what stands on it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from texts import sentences, write_jsonl

PARTS = '''"""Parts of our own for models."""

import math

from llmkit.modeling.adapters import Adapter, Targets, trained_parameters
from llmkit.modeling.adapters.lora import LoRA
from llmkit.modeling.heads.sequence_classification import SequenceClassification
from llmkit.objectives.rows.classification import Classification
from llmkit.runtimes import Facts, Running, Runtime, Score


class Uniform(Runtime):
    """All tokens are as likely as each other."""

    over: int = 1
    """What the size of the vocabulary is multiplied by."""

    def load(self, where, *, date=None):
        from pathlib import Path

        from llmkit.modeling.tokenizer import load_tokenizer

        print("loading")
        return Answers(load_tokenizer(Path(where)), self.over)


class Answers(Running):
    def __init__(self, tokenizer, over):
        self.tokenizer, self.nats = tokenizer, math.log(over * len(tokenizer))
        self.facts = Facts(answer="tokens", start=tokenizer.eos_token_id)

    def takes(self, request):
        return None if isinstance(request, Score) else "needs a model"

    def tokens(self, request):
        return len(request.target)

    def answer(self, requests):
        return [-self.nats * len(request.target) for request in requests]


class Norms(Adapter):
    """Train the vectors."""

    def wrap(self, model, head, *, seed=0, grown=range(0)):
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.ndim == 1)

    def describe(self, model):
        return Targets("norms", trained_parameters(model), sum(p.numel() for p in model.parameters()))


class Narrow(LoRA):
    """LoRA of rank 1."""

    r: int = 1
    """Rank."""


class Verdict(SequenceClassification):
    """Labels, with a card of our own."""

    def usage(self, *, chat=False):
        return "print('our own card')"


class Judged(Classification):
    """Classification with that head."""

    def model_head(self):
        usual = super().model_head()
        return Verdict(labels=usual.labels, problem_type=usual.problem_type)
'''


@pytest.fixture(autouse=True)
def _parts(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/models.py").write_text(PARTS)


def test_a_runtime_scores(cli, chain):
    given = ["eval", "--model", chain.model, "-s", f"tasks=[{{type: perplexity, data: {chain.tokens}}}]", "--json"]
    done = cli(*given, "-s", "runtime=mine/models.py:Uniform", "-o", "out")
    assert done.code == 0, done.err
    size = json.loads((chain.model / "config.json").read_text())["vocab_size"]
    assert done.json["metrics"]["perplexity"]["model"]["token_perplexity"] == pytest.approx(size)
    assert "part: mine/models.py" in cli("lineage", "out").out
    other = cli(*given, "-s", "runtime={type: mine/models.py:Uniform, over: 2}", "-o", "out")
    assert (other.code, "runtime.over: 1 there, 2 now" in other.err) == (2, True)
    asked = f"tasks=[{{type: generation, data: {chain.pairs}, max_new_tokens: 2}}]"
    refused = cli(*given[:3], "-s", asked, "-s", "runtime=mine/models.py:Uniform", "-o", "other")
    assert refused.code == 3
    assert "does not answer generate requests: needs a model" in refused.err


def test_adapters_train_what_they_say(cli, chain, training_options):
    given = ["finetune", "--data", chain.pairs, "--model", chain.base, *training_options, "--max-steps", 1, "--json"]
    whole = cli(*given, "-s", "adapter=mine/models.py:Norms", "-o", "whole")
    assert whole.code == 0, whole.err
    assert whole.json["metrics"]["trained_parameters"] == 5 * 32  # two norms in each of two layers, and the last one
    apart = cli(*given, "-s", "adapter=mine/models.py:Narrow", "-o", "apart")
    assert apart.code == 0, apart.err
    assert json.loads(Path("apart/adapter_config.json").read_text())["r"] == 1
    assert "up to date" in cli(*given, "-s", "adapter=mine/models.py:Narrow", "-o", "apart").out
    Path("mine/models.py").unlink()  # what is trained is a model like any other
    for name in ("whole", "apart"):
        scored = cli("eval", "--model", name, "-s", f"tasks=[{{type: answers, data: {chain.pairs}, limit: 2}}]",
                     "-o", f"{name}-scores", "--json")  # fmt: skip
        assert scored.code == 0, scored.err
        assert math.isfinite(scored.json["metrics"]["answers"]["model"]["bits_per_byte"])


def test_a_head_that_an_objective_names(cli, chain, training_options):
    rows = [{"text": text, "label": "good" if i % 2 else "bad"} for i, text in enumerate(sentences(16))]
    write_jsonl(Path("rows.jsonl"), rows)
    done = cli("finetune", "--data", "rows.jsonl", "--model", chain.base, *training_options, "--max-steps", 1,
               "-s", "objective=mine/models.py:Judged", "-o", "judge", "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert "print('our own card')" in Path("judge/README.md").read_text()
    Path("mine/models.py").unlink()
    found = cli("predict", "judge", "-i", "rows.jsonl", "-o", "said", "--json")
    assert found.code == 0, found.err
    assert sum(found.json["metrics"]["said"].values()) == 16
    assert set(found.json["metrics"]["said"]) <= {"good", "bad"}


@pytest.mark.parametrize(("words", "says"), [
    (["eval", "-s", "runtime=mine/models.py:Norms"], "runtime: mine/models.py:Norms is of the family 'adapter'"),
    (["finetune", "-s", "adapter=mine/models.py:Uniform"],
     "adapter: mine/models.py:Uniform is of the family 'runtime'"),
    (["finetune", "-s", "adapter=mine/models.py:Nroms"], "defines no 'Nroms'; did you mean 'Norms'?"),
])  # fmt: skip
def test_members_of_other_families_are_refused(cli, words, says):
    outcome = cli(*words, "-o", "out")
    assert (outcome.code, says in outcome.err) == (2, True), outcome.err

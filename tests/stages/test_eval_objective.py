"""eval's objective through the command line: of the tokens that training validated on, the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headed import SENTIMENT, save_headed
from llmkit.cli.main import run
from llmkit.tasks.objective import Objective
from tiny_settings import TINY_MODEL, TINY_TRAINING

ENCODER = ["-s", "model.config={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}"]
T5 = ["-s", "model.arch=t5",
      "-s", "model.config={d_model: 32, d_kv: 16, d_ff: 64, num_layers: 2, num_heads: 2}"]  # fmt: skip
BERT, ALBERT = (["-s", f"model.arch={arch}", *ENCODER] for arch in ("bert", "albert"))
CASES = {
    "causal_lm": ("bpe", TINY_MODEL, ["-s", "objective={type: causal_lm, z_loss: 0.0001}"]),
    "prefix_lm": ("bpe", TINY_MODEL, ["-s", "packing=best_fit"]),
    "fill_in_the_middle": ("bpe", TINY_MODEL, ["-s", "seed=5"]),
    "masked_lm": ("wordpiece", BERT, ["-s", "objective={type: masked_lm, mask_fraction: 0.3, whole_word: true}"]),
    "next_sentence": ("wordpiece", BERT, []),
    "sentence_order": ("wordpiece", ALBERT, []),
    "span_corruption": ("unigram", T5, []),
}
TOKENIZERS = {
    "bpe": ["-s", "tokenizer={type: bpe, vocab_size: 420,"
                  " special_tokens: ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>']}"],
    "wordpiece": ["-s", "tokenizer={type: wordpiece, vocab_size: 400}"],
    "unigram": ["-s", "tokenizer={type: unigram, vocab_size: 450, sentinels: 40}"],
}  # fmt: skip


@pytest.fixture(scope="module")
def tokens(chain, tmp_path_factory):
    """Token artifacts by the type of their tokenizer, made as they are asked for."""
    root = tmp_path_factory.mktemp("tokens")

    def made(kind):
        if not (root / kind).exists():
            fractions = ["-s", "validation_fraction=0.1", "-s", "test_fraction=0.1"]
            arguments = ["tokenize", "-i", chain.corpus, *TOKENIZERS[kind], *fractions, "-o", root / kind, "-q"]
            assert run([*map(str, arguments)]) == 0
        return root / kind

    return made


@pytest.fixture
def evaluate(cli):
    """Evaluate a model on one task, and return its result and its samples."""

    def evaluated(model, code=0, **task):
        written = json.dumps([{"type": "objective", **task, "data": str(task["data"])}])
        outcome = cli("eval", "--model", model, "-s", f"tasks={written}", "-o", "out", "--force")
        assert outcome.code == code, outcome.err
        if code:
            return outcome
        found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["objective"]
        lines = Path("out/samples-objective.jsonl").read_text(encoding="utf-8").splitlines()
        return found["results"]["model"], [json.loads(line) for line in lines]

    return evaluated


@pytest.mark.parametrize("objective", CASES)
def test_the_loss_is_that_of_the_last_validation(cli, evaluate, tokens, objective):
    kind, model, more = CASES[objective]
    named = [] if any("objective=" in word for word in more) else ["-s", f"objective={objective}"]
    data = tokens(kind)
    outcome = cli("pretrain", "--data", data, *model, *TINY_TRAINING, *named, *more, "--max-steps", 3, "-o", "model")
    assert outcome.code == 0, outcome.err
    rows = [json.loads(line) for line in Path("model/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [row for row in rows if "validation_loss" in row][-1]
    result, samples = evaluate("model", data=data, split="validation")
    scores = result["scores"]
    assert scores["loss"] == pytest.approx(last["validation_loss"], rel=1e-5)
    parts = [name for name in samples[0]["parts"] if name != "z"]
    for name in parts if len(parts) > 1 else ():
        assert scores[f"loss_{name}"] == pytest.approx(last[f"validation_loss_{name}"], rel=1e-5)
        hits, targets = (sum(sample["parts"][name][key] for sample in samples) for key in ("hits", "targets"))
        assert scores[f"acc_{name}"] == hits / targets
        assert 0 <= scores[f"acc_{name}"] <= 1
    if len(parts) == 1:
        assert list(scores) == ["loss", "acc"]
    assert result["objective"]["type"] == objective
    assert result["estimates"]["loss"]["low"] < scores["loss"] < result["estimates"]["loss"]["high"]
    task = Objective.model_validate({"data": {"type": "files", "path": str(data)}})
    assert {name: measure.value for name, measure in task.measures(samples).items()} == scores


def test_what_is_measured_can_be_said(evaluate, chain):
    """The chain's fine-tuned model says of itself that it was taught answers."""
    outcome = evaluate(chain.model, code=2, data=chain.tokens)
    assert "was trained on 'sft', which is no objective over documents" in outcome.err
    assert "-s tasks.0.objective=" in outcome.err
    result, samples = evaluate(chain.model, data=chain.tokens, objective="causal_lm", limit=3, context_length=32)
    assert result["num_samples"] == len(samples) == 3
    assert (result["context_length"], result["packing"], result["objective"]["type"]) == (32, "stream", "causal_lm")


def test_accuracy_by_hand(evaluate, chain):
    import torch

    from llmkit.runtimes.transformers import Transformers

    _, samples = evaluate(chain.base, data=chain.tokens, packing="pad", limit=2)
    from llmkit.data.token_reader import TokenSplit

    loaded, split = Transformers().load(str(chain.base)), TokenSplit(chain.tokens, "test")
    for number, sample in enumerate(samples):
        ids = [loaded.facts.start, *split.document(number).tolist(), loaded.tokenizer.eos_token_id][:65]
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits[0]
        targets = torch.tensor(ids[1:])
        part = sample["parts"]["tokens"]
        assert part["targets"] == len(targets)
        assert part["hits"] == int((logits.argmax(-1) == targets).sum())
        nats = float(torch.nn.functional.cross_entropy(logits.double(), targets, reduction="sum"))
        assert part["nats"] == pytest.approx(nats, rel=1e-5)


OWN = '''
"""Half of the loss."""
from llmkit.objectives.documents import NextTokenOfDocuments

class Half(NextTokenOfDocuments):
    """Half."""
    def loss(self, models, batch):
        """Return half."""
        return {name: (total / 2, weight) for name, (total, weight) in super().loss(models, batch).items()}
'''


def test_an_objective_with_a_loss_of_its_own_has_no_accuracy(evaluate, chain, tmp_path):
    (tmp_path / "half.py").write_text(OWN)
    whole, _ = evaluate(chain.base, data=chain.tokens)
    half, samples = evaluate(chain.base, data=chain.tokens, objective="half.py:Half")
    assert half["scores"] == {"loss": pytest.approx(whole["scores"]["loss"] / 2, rel=1e-6)}
    assert samples[0]["parts"]["tokens"]["hits"] is None
    assert half["notes"] == ["no accuracy: its loss is all it says"]


def test_bad_input(evaluate, chain, tokens, tmp_path):
    masked = save_headed(tmp_path / "masked", {"type": "masked_lm"})
    outcome = evaluate(masked, code=2, data=chain.tokens)
    assert "does not say what it was pretrained to do" in outcome.err
    outcome = evaluate(masked, code=2, data=chain.tokens, objective="causal_lm")
    assert "causal_lm is what models with the head causal_lm learn, and this one has masked_lm" in outcome.err
    outcome = evaluate(masked, code=3, data=chain.tokens, objective="masked_lm")
    assert "was made with another tokenizer than the model's" in outcome.err
    outcome = evaluate(chain.base, code=2, data=chain.tokens, context_length=65)
    assert "tasks.context_length: 65 is over the 64 positions of the model" in outcome.err
    outcome = evaluate(chain.base, code=2, data=chain.tokens, objective="masked_ml")
    assert "unknown objective 'masked_ml'" in outcome.err and "masked_lm" in outcome.err
    outcome = evaluate(chain.base, code=3, data=chain.root / "texts.jsonl")
    assert "texts.jsonl is not an llmkit artifact (it has no llmkit.json): it holds text" in outcome.err
    assert "-> llmkit tokenize -i " in outcome.err
    outcome = evaluate(save_headed(tmp_path / "labels", SENTIMENT), code=3, data=chain.tokens)
    assert "its head is sequence_classification, which no objective over documents trains" in outcome.err
    outcome = evaluate(chain.base, code=3, data=chain.corpus)
    assert "holds corpus, not tokens" in outcome.err or "tokens" in outcome.err
    outcome = evaluate(chain.base, code=3, data=chain.tokens, objective="fill_in_the_middle")
    assert "has no token '<|fim_prefix|>'" in outcome.err

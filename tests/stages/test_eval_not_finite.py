"""Models that compute no numbers, through every task: an error that names it, exit code 3, and no bare NaN anywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headed import BODY, NAMES, READER, SENTIMENT, save_headed
from llmkit.core.errors import SetupError
from llmkit.evaluation.confinement import Confinement, Limits
from texts import sentences
from tiny import byte_tokenizer, model

TEXTS = sentences(4, seed=5)
PAIRS = [{"source": text, "target": text[::-1]} for text in TEXTS]
CHOICES = [{"question": text, "choices": ["a", "b"], "answer": i % 2} for i, text in enumerate(TEXTS)]
PROBLEM = {"task_id": "a", "prompt": "def f():\n", "entry_point": "f", "test": "def check(f):\n    f()\n"}
ANSWERS = [{"prompt": text, "completion": text[::-1]} for text in TEXTS]
WORDS = [text.split()[:6] for text in TEXTS]
HARNESS = """task: own
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
doc_to_choice: "{{choices}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
TASKS = {
    "perplexity": ("causal", [{"text": text} for text in TEXTS], {}),
    "answers": ("causal", ANSWERS, {}),
    "multiple_choice": ("causal", CHOICES, {}),
    "generation": ("causal", ANSWERS, {"max_new_tokens": 2}),
    "translation": ("causal", PAIRS, {"max_new_tokens": 2}),
    "summarization": ("causal", PAIRS, {"max_new_tokens": 2}),
    "code": ("causal", [PROBLEM], {"max_new_tokens": 2}),
    "passkey": ("causal", None, {"lengths": [400], "depths": [0.5], "repeats": 1}),
    "efficiency": ("causal", None, {"batch_sizes": [1], "prompt_tokens": 4, "new_tokens": 2, "repeats": 1}),
    "harness": ("causal", CHOICES, {"task": "own", "include_path": "bench"}),
    "objective": ("chain", None, {"limit": 2}),
    "pseudo_perplexity": ({"type": "masked_lm"}, [{"text": text} for text in TEXTS], {}),
    "classification": (SENTIMENT, [{"text": text, "label": "good"} for text in TEXTS], {}),
    "token_classification": (NAMES, [{"words": own, "tags": ["O"] * len(own)} for own in WORDS], {}),
    "question_answering": (
        READER, [{"question": "who?", "context": " ".join(own), "answers": [own[0]]} for own in WORDS], {},
    ),
    "similarity": (BODY, [{"text": text, "pair": text[:9], "label": i / 4} for i, text in enumerate(TEXTS)], {}),
    "retrieval": (BODY, [{"query": text[:9], "positive": text} for text in TEXTS], {}),
}  # fmt: skip


def spoiled(folder, number):
    """Change a saved model: weights that are no numbers, or so large ones that what they compute is none."""
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if weight.ndim > 1 and ("mlp" in name or "intermediate" in name or ".output.dense" in name):
            weight.view(-1)[: 1 if number != number else None] = number  # noqa: PLR0124 - NaN
        elif "norm" in name.lower() and name.endswith("weight"):
            weight.fill_(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def models(chain, tmp_path_factory):
    """Models with a fault, by the head and the fault, made as they are asked for."""
    root = tmp_path_factory.mktemp("models")

    def made(kind, number):
        folder = root / f"{kind if isinstance(kind, str) else kind['type']}-{number}"
        if folder.exists():
            return folder
        if kind == "chain":
            shutil.copytree(chain.base, folder, ignore=shutil.ignore_patterns("checkpoints"))
            (folder / "llmkit.json").rename(folder / "config-of-training.json")
        elif kind == "causal":
            tokenizer = byte_tokenizer()
            model(vocab_size=len(tokenizer), max_position_embeddings=1024).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        else:
            save_headed(folder, kind)
        return spoiled(folder, number)

    return made


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("number", "words"), [
    (float("nan"), "holds NaN or infinity in"), (1e25, "its weights are finite, but what it computes is not"),
], ids=["weights", "sums"])  # fmt: skip
def test_what_is_no_number_is_an_error_and_in_no_file(cli, chain, models, jsonl, name, number, words):
    kind, rows, fields = TASKS[name]
    if name == "code":
        try:
            Confinement(Limits()).check()
        except SetupError as error:
            pytest.skip(f"the kernel of this machine confines no programs: {error.message}")
    task = {"type": name, **fields}
    if kind == "chain":
        task |= {"data": str(chain.tokens), "objective": "causal_lm", "context_length": 64}
    elif rows is not None:
        path = str(jsonl("rows.jsonl", rows))
        task |= {} if name == "harness" else {"data": path}
    if name == "harness":
        Path("bench").mkdir()
        Path("bench/own.yaml").write_text(HARNESS)
    where = models(kind, number)
    outcome = cli("eval", "--model", where, "-s", f"tasks={json.dumps([task])}", "-o", "out", "--json")
    assert outcome.code == 3, outcome.err
    said = json.loads(outcome.out, parse_constant=bare)
    assert (said["exit_code"], said["kind"]) == (3, "data")
    assert str(where) in said["message"]
    assert words in f"{said['message']} {said['hint']}"
    if number == 1e25:
        assert said["message"].startswith(f"{name}")
    assert not Path("out/llmkit.json").exists()
    for path in Path("out").rglob("*.json*"):
        for line in path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            json.loads(line, parse_constant=bare)


def bare(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_the_sums_of_the_models_are_no_numbers(models):
    """The fault is one that weights do not show."""
    weights = load_file(models("causal", 1e25) / "model.safetensors")
    assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())

"""The model timed, through the command line; how times become scores is in tests/unit/tasks/test_efficiency.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from completions_server import Served, serving
from llmkit.runtimes.transformers import Transformers

TASK = {"type": "efficiency", "batch_sizes": [1, 2], "prompt_tokens": 16, "new_tokens": 4, "repeats": 2}


def evaluate(cli, model, *tasks, more=()):
    return cli("eval", "--model", model, "-s", f"tasks={json.dumps(tasks)}", "-o", "out", *more)


def test_it_runs_beside_other_tasks_and_behind_them(cli, chain, monkeypatch):
    from llmkit.runtimes._in_memory import InMemory

    answer, asked = InMemory.answer, []

    def watched(self, requests):
        asked.extend(type(one).__name__ + ("!" if getattr(one, "exact", False) else "") for one in requests)
        return answer(self, requests)

    monkeypatch.setattr(InMemory, "answer", watched)
    outcome = evaluate(cli, chain.base, TASK, {"type": "perplexity", "data": str(chain.corpus), "limit": 3})
    assert outcome.code == 0, outcome.err
    assert all(name.startswith("Score") for name in asked[:3])
    assert asked[3:] == ["Generate!"] * (5 * 1 + 5 * 2)
    tasks = json.loads(Path("out/results.json").read_text())["tasks"]
    result = tasks["efficiency"]["results"]["model"]
    assert "overlap" in tasks["perplexity"]["results"]["model"]
    assert "overlap" not in result, "it has no data that could be in the training text"
    names = ("decode_tokens_per_s", "prefill_tokens_per_s", "time_to_first_token_s", "peak_memory_mib")
    assert {name.partition("[")[0] for name in result["scores"]} <= set(names)
    assert result["scores"]["prefill_tokens_per_s[batch=2]"] > 0
    assert result["scores"]["peak_memory_mib[batch=1]"] > 10
    assert (result["device"], result["precision"]) == ("cpu", "float32")
    assert {"threads", "torch", "transformers", "prompt_tokens", "new_tokens", "repeats"} <= result.keys()
    rows = [json.loads(line) for line in Path("out/samples-efficiency.jsonl").read_text().splitlines()]
    assert [(row["id"], len(row["first_s"]), len(row["whole_s"])) for row in rows] == [
        ("batch 1", 2, 2),
        ("batch 2", 2, 2),
    ]
    assert all(sum(row["first_s"]) > 0 for row in rows)


@pytest.mark.parametrize(("task", "message"), [
    ({"prompt_tokens": 64}, "tasks.prompt_tokens: 64 and 4 new tokens do not fit into the 64 positions of the model"),
    ({"batch_sizes": [0]}, "tasks.batch_sizes: each is a number of rows, from 1, and is there once"),
    ({"batch_sizes": [1, 10**18]}, "000,000,000 is over the 1,048,576 rows of a batch"),
    ({"new_tokens": 1}, "tasks.0.new_tokens"),
    ({"repeats": 0}, "tasks.0.repeats"),
    ({"data": "x"}, "tasks.0.data: unknown field"),
])  # fmt: skip
def test_fields_that_cannot_be(cli, chain, task, message):
    outcome = evaluate(cli, chain.base, TASK | task)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_model_without_a_head_that_writes_is_refused(cli, chain):
    import transformers

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.AutoConfig.for_model("bert", vocab_size=400, **small)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained("bert")
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained("bert")
    outcome = evaluate(cli, "bert", TASK)
    assert outcome.code == 3
    assert "the model in 'bert' does not answer generate requests" in outcome.err


def test_a_server_is_refused_in_words(cli, chain):
    with serving(Served(Transformers().load(str(chain.base)))) as served:
        outcome = evaluate(cli, served.url, TASK)
    assert outcome.code == 3
    assert "does not answer generate requests: a server cannot be told to write on behind an end" in outcome.err

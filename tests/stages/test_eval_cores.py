"""eval on one core and on several, in another order and in other batches: the same numbers."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from llmkit.runtimes._in_memory import InMemory

TEXT = "the fox walked along a river and found an old boat under the bridge by night"


@pytest.fixture
def rows():
    drawn, words = random.Random(0), TEXT.split()
    return [
        {
            "id": f"q{number}", "question": " ".join(drawn.choices(words, k=drawn.randint(2, 20))),
            "choices": [" ".join(drawn.choices(words, k=drawn.randint(1, 6))) for _ in range(3)], "answer": number % 3,
        }
        for number in range(40)
    ]  # fmt: skip


@pytest.fixture
def evaluated(cli, chain):
    def evaluate(rows, out, *more):
        shots = [{"id": "s", "question": "the fox", "choices": ["ran", "sat", "ate"], "answer": 0}]
        for name, written in ((out, rows), ("shots", shots)):
            Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
        tasks = [
            {
                "type": "multiple_choice", "data": f"{out}.jsonl", "chat": "off", "num_shots": 1,
                "shots_data": "shots.jsonl",
            },
            {"type": "perplexity", "data": str(chain.corpus), "limit": 20},
            {"type": "generation", "data": str(chain.pairs), "limit": 6, "max_new_tokens": 4},
        ]  # fmt: skip
        outcome = cli("eval", "--model", chain.model, "-s", f"tasks={json.dumps(tasks)}", "-o", out, *more)
        assert outcome.code == 0, outcome.err
        samples = defaultdict(list)
        for path in Path(out).glob("samples-*.jsonl"):
            for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
                key = row["prompt"] if path.name == "samples-multiple_choice.jsonl" else row["id"]
                samples[path.name, key].append({name: value for name, value in row.items() if name != "id"})
        assert {name for name, _ in samples} == {f"samples-{task['type']}.jsonl" for task in tasks}
        return samples

    return evaluate


def assert_alike(one, other):
    """Compare samples by their ids: numbers to 1e-5, all else exactly."""
    assert one.keys() == other.keys()
    for key in one:
        _assert_alike(one[key], other[key], str(key))


def _assert_alike(one, other, where):
    assert type(one) is type(other), where
    if isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-9), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for name in one:
            _assert_alike(one[name], other[name], f"{where}: {name}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            _assert_alike(*pair, f"{where}: {number}")
    else:
        assert one == other, where


def test_numbers_are_the_same_on_any_number_of_cores_in_any_order_and_in_any_batches(evaluated, rows, monkeypatch, cli):
    before, seen = torch.get_num_threads(), []
    answer = InMemory.answer

    def watched(self, requests):
        seen.append((type(requests[0]).__name__, torch.get_num_threads()))
        return answer(self, requests)

    monkeypatch.setattr(InMemory, "answer", watched)
    first = evaluated(rows, "one", "--nproc", 1)
    assert {threads for _, threads in seen} == {1}
    assert torch.get_num_threads() == before, "what a run is told is not told to the next"
    for number in (2, 4):
        seen.clear()
        assert_alike(first, evaluated(rows, f"on-{number}", "--nproc", number))
        assert {threads for kind, threads in seen if kind != "Generate"} == {1}, "each core has a batch of its own"
    written = [json.loads(Path(out, "llmkit.json").read_text())["config"]["written"] for out in ("one", "on-4")]
    assert [config["nproc"] for config in written] == [1, 4]
    tasks = f"tasks={json.dumps(written[0]['tasks'])}"
    again = cli("eval", "--model", written[0]["model"], "-s", tasks, "-o", "one", "--nproc", 2)
    assert "up to date" in again.out, again.err

    random.Random(1).shuffle(rows)
    assert_alike(first, evaluated(rows, "shuffled", "--nproc", 2))
    for tokens in (64, 4096):
        monkeypatch.setattr(InMemory, "batch_tokens", lambda self, kind, most=tokens: most)
        assert_alike(first, evaluated(rows, f"batches-{tokens}", "--nproc", 2))


@pytest.mark.parametrize(
    ("number", "said"), [("0", "should be greater than or equal to 1"), ("two", "should be a valid integer")]
)
def test_a_number_of_cores_is_one_at_least(cli, number, said):
    outcome = cli("eval", "--model", "model", "--nproc", number)
    assert outcome.code == 2
    assert said in outcome.err


def test_what_is_timed_says_on_how_many_cores(cli, chain):
    task = {"type": "efficiency", "batch_sizes": [1], "prompt_tokens": 8, "new_tokens": 2, "repeats": 1}
    command = ["eval", "--model", chain.base, "-o", "out", "-s"]
    assert cli(*command, f"tasks={json.dumps([task])}", "--nproc", 1).code == 0
    found = json.loads(Path("out/results.json").read_text())["tasks"]["efficiency"]
    assert (found["task"]["nproc"], found["results"]["model"]["threads"]) == (1, 1)
    other = cli(*command, f"tasks={json.dumps([task])}", "--nproc", 2)
    assert other.code != 0 and "up to date" not in other.out, "other cores are another measurement"
    odd = cli(*command, f"tasks={json.dumps([{**task, 'nproc': 3}])}", "--nproc", 2)
    assert odd.code == 2
    assert "tasks.0.nproc: 3, but a run computes on as many cores as its own `nproc` says" in odd.err
    assert "--nproc 3" in odd.err

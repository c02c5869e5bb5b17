"""Tasks of lm-eval through the command line: the very numbers that lm-eval gives with its own model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from llmkit.core import extras
from texts import sentences

TASKS = {
    "tiny_choice": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
doc_to_choice: "{{choices}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
""",
    "tiny_shots": """
output_type: multiple_choice
fewshot_split: test
num_fewshot: 2
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
doc_to_choice: "{{choices}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tiny_last": """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: " {{choices[0]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tiny_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{long}}"
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
  - {metric: byte_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
""",
    "tiny_write": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["."], max_gen_toks: 8, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
}


@pytest.fixture
def folder(tmp_path):
    """Tasks over ten rows: of the user's own, in files."""
    place = tmp_path / "bench"
    place.mkdir()
    texts = sentences(30)
    rows = [
        {"question": texts[i], "choices": [f"the {word}" for word in ("fox", "river bank", "clock")], "answer": i % 3,
         "long": " ".join(texts[i : i + 1 + 3 * (i % 4)])}
        for i in range(10)
    ]  # fmt: skip
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, config in TASKS.items():
        head = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {place / 'rows.jsonl'}}}}}\n"
        (place / f"{name}.yaml").write_text(f"{head}test_split: test{config}metadata: {{version: 1.0}}\n")
    return place


@pytest.fixture
def evaluate(cli):
    """Evaluate a model on tasks of lm-eval, and return the results and samples of each."""

    def run(model, *tasks, code=0):
        written = json.dumps([{"type": "harness", **task} for task in tasks])
        outcome = cli("eval", "--model", model, "-s", f"tasks={written}", "-o", "out", "--force")
        assert outcome.code == code, outcome.err
        if code:
            return outcome
        found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]
        return {
            name: (
                by["results"]["model"],
                [json.loads(line) for line in Path(f"out/samples-{name}.jsonl").read_text("utf-8").splitlines()],
            )
            for name, by in found.items()
        }

    return run


@pytest.mark.filterwarnings("default")
def test_scores_and_errors_are_those_of_lm_eval_with_its_own_model(evaluate, folder, chain):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    found = evaluate(chain.base, *({"task": name, "include_path": str(folder)} for name in TASKS))
    assert list(found) == [f"harness:{name}" for name in TASKS]
    model = HFLM(pretrained=str(chain.base), dtype="float32", device="cpu", batch_size=1)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    theirs = lm_eval.simple_evaluate(model, tasks=list(TASKS), task_manager=manager, bootstrap_iters=100)
    for name in TASKS:
        ours, samples = found[f"harness:{name}"]
        values = theirs["results"][name]
        for score, value in ours["scores"].items():
            assert value == pytest.approx(values[f"{score},none"], rel=1e-5), (name, score)
            error = values[f"{score}_stderr,none"]
            if score in samples[0]["means"]:
                assert ours["estimates"][score]["stderr"] == pytest.approx(error, rel=1e-6)
        assert len(ours["scores"]) == sum("_stderr" in key for key in values)
        for sample, logged in zip(samples, theirs["samples"][name], strict=True):
            assert sample["prompt"] == logged["arguments"][0][0]
            for metric in logged["metrics"]:
                if isinstance(logged[metric], float | int):
                    assert sample[metric] == pytest.approx(logged[metric], rel=1e-5)
        assert ours["lm_eval"] == lm_eval.__version__
        assert ours["tasks"][name]["version"] == 1.0
    assert found["harness:tiny_shots"][0]["tasks"]["tiny_shots"]["num_fewshot"] == 2
    assert found["harness:tiny_choice"][1][0]["choices"] == [" the fox", " the river bank", " the clock"]


@pytest.mark.filterwarnings("default")
def test_tasks_of_lm_eval_stand_beside_others(cli, folder, chain):
    import lm_eval  # noqa: F401

    places = [word for i in (1, 2) for word in ("-s", f"tasks.{i}.include_path={folder}")]
    outcome = cli("eval", "--model", chain.base, "--task", "perplexity", "--data", chain.corpus, "--limit", 4,
                  "--harness", "tiny_choice,tiny_write", *places, "-o", "out")  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]
    assert list(found) == ["perplexity", "harness:tiny_choice", "harness:tiny_write"]
    assert [one["results"]["model"]["num_samples"] for one in found.values()] == [4, 4, 4]
    assert "harness:tiny_choice acc" in outcome.out


@pytest.mark.filterwarnings("default")
def test_bad_input(evaluate, folder, chain):
    import lm_eval  # noqa: F401

    own = {"include_path": str(folder)}
    outcome = evaluate(chain.base, {"task": "tiny_choise", **own}, code=2)
    assert "lm-eval has no task 'tiny_choise'" in outcome.err and "tiny_choice" in outcome.err
    outcome = evaluate(chain.base, {"task": "tiny_choice", "include_path": "nowhere"}, code=3)
    assert "tasks.include_path: no such folder: nowhere" in outcome.err
    outcome = evaluate(chain.base, {"task": "tiny_choice", **own, "chat": "on"}, code=2)
    assert "on, but the model has no chat template" in outcome.err
    outcome = evaluate(chain.base, {"task": "tiny_choice", **own, "num_fewshot": 500}, code=3)
    assert "the task 'tiny_choice' of lm-eval cannot be asked: ValueError: Sample larger than population" in outcome.err
    assert "-> it has fewer documents than num_fewshot asks for: lower it" in outcome.err
    (folder / "rows.jsonl").unlink()
    outcome = evaluate(chain.base, {"task": "tiny_choice", **own}, code=3)
    assert "the task 'tiny_choice' of lm-eval cannot be loaded" in outcome.err
    assert "the hub" not in outcome.err, "its data are a file"
    text = (folder / "tiny_write.yaml").read_text().replace("max_gen_toks: 8", "max_gen_toks: 64")
    (folder / "tiny_write.yaml").write_text(text)


def test_without_the_extra_the_pip_line_is_said(evaluate, folder, chain, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    outcome = evaluate(chain.base, {"task": "tiny_choice", "include_path": str(folder)}, code=4)
    assert "this needs the 'harness' extra, which is not installed" in outcome.err
    assert 'pip install "llmkit[harness]"' in outcome.err
    assert "harness" in extras.EXTRAS

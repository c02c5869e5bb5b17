"""Generated texts and their exact match are those of lm-evaluation-harness, item by item, on one model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

ROWS = [{"q": f"{i}", "a": "the"} for i in range(8)]
TASK = {
    "task": "own_words",
    "dataset_path": "json",
    "test_split": "test",
    "fewshot_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{q}}:",
    "doc_to_target": "a",
    "generation_kwargs": {"until": ["e"], "max_gen_toks": 6, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("shots", [0, 2])
def test_texts_prompts_and_scores_are_those_of_lm_eval(cli, chain, tmp_path, jsonl, shots):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    data, folder = jsonl("q.jsonl", ROWS), tmp_path / "theirs"
    folder.mkdir()
    own = {**TASK, "num_fewshot": shots, "dataset_kwargs": {"data_files": {"test": str(data)}}}
    (folder / "own_words.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    model = HFLM(pretrained=str(chain.base), dtype="float32", device="cpu", batch_size=1)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    theirs = lm_eval.simple_evaluate(model, tasks=["own_words"], task_manager=manager, bootstrap_iters=0)
    task = {
        "type": "generation", "data": str(data), "prompt": "{{ q }}:", "answer": "a", "chat": "off", "stop": ["e"],
        "num_shots": shots, "shots": "drawn", "max_new_tokens": 6,
        "metrics": [{"type": "exact_match", "ignore_spaces": False}],
    }  # fmt: skip
    assert cli("eval", "--model", chain.base, "-s", f"tasks={json.dumps([task])}", "-o", "out").code == 0
    ours = [json.loads(line) for line in Path("out/samples-generation.jsonl").read_text(encoding="utf-8").splitlines()]
    samples = sorted(theirs["samples"]["own_words"], key=lambda sample: sample["doc_id"])
    assert [sample["output"] for sample in ours] == [sample["resps"][0][0] for sample in samples]
    assert [sample["prompt"] for sample in ours] == [sample["arguments"][0][0] for sample in samples]
    scores = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["generation"]["results"]["model"]
    own_score = theirs["results"]["own_words"]["exact_match,none"]
    same = [sample["resps"][0][0] == sample["target"] for sample in samples]
    assert own_score == pytest.approx(sum(same) / len(same))
    stripped = [sample["output"].strip() == "the" for sample in ours]  # blanks around an answer are no part of it here
    assert scores["scores"]["exact_match"] == pytest.approx(100 * sum(stripped) / len(stripped))

"""Generated texts and their exact match are those of lm-evaluation-harness, item by item, on one model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from texts import sentences

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


SPACES = [r"^\s+", r"\s+$"]
"""Blanks at both ends: here they are no part of an answer, and lm-eval compares them unless it is told not to."""
KINDS = {
    "strict": ({"regexes_to_ignore": SPACES}, {"remove": SPACES}, {}),
    "case": (
        {"regexes_to_ignore": SPACES, "ignore_case": True, "ignore_punctuation": True},
        {"remove": SPACES, "ignore_case": True, "ignore_punctuation": True}, {},
    ),
    "digits": (
        {"regexes_to_ignore": [*SPACES, "[!?]"], "ignore_numbers": True},
        {"remove": [*SPACES, "[!?]"], "ignore_numbers": True}, {},
    ),
    "extracted": ({"regexes_to_ignore": SPACES}, {"remove": SPACES}, {"extract": r"(\S)(\S*)"}),
}  # fmt: skip
"""lm-eval's settings of a metric, our own, and what is taken out of an answer before."""


def variants(outputs):
    """References of which each way of comparing takes some for the answer and others not."""
    first = [re.search(r"\S", output) for output in outputs]
    made = [
        (output, f" {output}  ", f"{output.upper()}!", f"{output}7", "other", match[0] if match else "?")
        for output, match in zip(outputs, first, strict=True)
    ]
    return [each[i % 6] for i, each in enumerate(made)]


@pytest.mark.filterwarnings("default")
def test_exact_match_by_the_same_rules_is_that_of_lm_eval_item_by_item(cli, chain, tmp_path, jsonl):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    shared = {"type": "generation", "prompt": "{{ q }}:", "answer": "a", "chat": "off", "stop": ["e"],
              "max_new_tokens": 6}  # fmt: skip
    rows = [{"q": " ".join(text.split()[:4]), "a": "the"} for text in sentences(24, seed=9)]

    def samples(data, tasks):
        written = json.dumps([{**shared, "data": str(data), **task} for task in tasks])
        assert cli("eval", "--model", chain.base, "-s", f"tasks={written}", "-o", "out", "--force").code == 0
        return {
            path.stem.removeprefix("samples-"): [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            for path in Path("out").glob("samples-*.jsonl")
        }

    plain = samples(jsonl("q.jsonl", rows), [{"name": "plain", "metrics": ["exact_match"]}])["plain"]
    data = jsonl("a.jsonl", [
        {"q": row["q"], "a": a} for row, a in zip(rows, variants([one["output"] for one in plain]), strict=True)
    ])  # fmt: skip
    ours = samples(data, [
        {"name": name, "metrics": [{"type": "exact_match", "ignore_spaces": False, **own}], **more}
        for name, (_, own, more) in KINDS.items()
    ])  # fmt: skip
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name, (theirs, _, more) in KINDS.items():
        metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, **theirs}
        first = {"function": "regex", "regex_pattern": more.get("extract", ""), "group_select": 0}
        filters = [*([first] if more else []), {"function": "take_first"}]
        own = {**TASK, "task": name, "dataset_kwargs": {"data_files": {"test": str(data)}}, "num_fewshot": 0,
               "metric_list": [metric], "filter_list": [{"name": "own", "filter": filters}]}  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    model = HFLM(pretrained=str(chain.base), dtype="float32", device="cpu", batch_size=8)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = lm_eval.simple_evaluate(model, tasks=list(KINDS), task_manager=manager, bootstrap_iters=0)
    scores = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]
    for name in KINDS:
        theirs = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
        assert [one["output"] for one in ours[name]] == [one["resps"][0][0] for one in theirs]
        wanted = [float(one["exact_match"]) for one in theirs]
        assert [one["exact_match"] / 100 for one in ours[name]] == wanted, name
        assert 0 < sum(wanted) < len(wanted), name
        value = scores[name]["results"]["model"]["scores"]["exact_match"]
        assert value == pytest.approx(100 * found["results"][name]["exact_match,own"])
    assert len({tuple(one["exact_match"] for one in each) for each in ours.values()}) == len(KINDS)

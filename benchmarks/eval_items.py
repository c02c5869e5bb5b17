"""Whether `llmkit eval` and lm-evaluation-harness give one model the same numbers, item by item.

python benchmarks/eval_items.py --model DIR [--items FILE] [--limit 30] [--cases zero,fixed,...]

Both run whole, in float32, on items of Python's own documentation; `--items` takes others, JSON lines of `question`,
`choices` and `answer`. `zero`: multiple choice. `fixed`: behind two shots, the same for all. `drawn`: behind two that
are drawn for each item. `chat`: in the chat template. `turns`: in it, behind two shots that are turns. `rolling`:
log-likelihood of whole texts. `text`: exact match of what is written, with blanks at both ends left out of both.

Compared are prompts, sums of log-probabilities (relatively), and acc, acc_norm, acc_bytes and exact match of each item.
Exit code 1 where anything differs, sums by more than 1e-5.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from _corpus import python_docs
from eval import make_items, read_items

PROMPT = "Text: {{ question }}\nGoes on:"
SPACES = [r"^\s+", r"\s+$"]
CLOSE = 1e-5
HOW: dict[str, dict[str, Any]] = {
    "zero": {}, "fixed": {"shots": 2}, "drawn": {"shots": 2, "drawn": True}, "chat": {"chat": True},
    "turns": {"shots": 2, "chat": True}, "rolling": {}, "text": {"shots": 1},
}  # fmt: skip


def lm_eval_task(case: str, data: Path) -> dict[str, Any]:
    """Return a case as a task of lm-eval."""
    shared = {
        "task": case, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test", "fewshot_split": "test",
        "fewshot_config": {"sampler": "default" if HOW[case].get("drawn") else "first_n"},
    }  # fmt: skip

    def metrics(*names: str, **more: Any) -> list[dict[str, Any]]:
        return [{"metric": name, "aggregation": "mean", "higher_is_better": True, **more} for name in names]

    if case == "rolling":
        named = {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}
        return {**shared, "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{question}}",
                "metric_list": [named]}  # fmt: skip
    if case == "text":
        written = {"until": ["\n"], "max_gen_toks": 8, "do_sample": False}
        return {**shared, "output_type": "generate_until", "doc_to_text": PROMPT, "doc_to_target": "written",
                "generation_kwargs": written,
                "metric_list": metrics("exact_match", regexes_to_ignore=SPACES)}  # fmt: skip
    return {**shared, "output_type": "multiple_choice", "doc_to_text": PROMPT, "doc_to_choice": "choices",
            "doc_to_target": "answer", "metric_list": metrics("acc", "acc_norm", "acc_bytes")}  # fmt: skip


def llmkit_task(case: str, data: Path) -> dict[str, Any]:
    """Return a case as a task of llmkit."""
    how = HOW[case]
    asked = {
        "data": str(data), "prompt": PROMPT, "num_shots": how.get("shots", 0), "multiturn": True,
        "shots": "drawn" if how.get("drawn") else "first", "chat": "on" if how.get("chat") else "off",
    }  # fmt: skip
    if case == "rolling":
        return {"type": "perplexity", "data": {"type": "files", "path": str(data), "text_field": "question"}}
    if case == "text":
        metric = {"type": "exact_match", "ignore_spaces": False, "remove": SPACES}
        return {"type": "generation", **asked, "answer": "written", "metrics": [metric], "stop": ["\n"],
                "max_new_tokens": 8}  # fmt: skip
    return {"type": "multiple_choice", **asked, "overlength": "cut", "shuffle": "off"}


def theirs(case: str, data: Path, model: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the samples of lm-eval, in the order of the rows."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    (folder / f"{case}.yaml").write_text(json.dumps(lm_eval_task(case, data)), encoding="utf-8")
    chat = bool(HOW[case].get("chat"))
    found = simple_evaluate(
        model="hf", model_args={"pretrained": str(model), "dtype": "float32"}, tasks=[case], device="cpu",
        task_manager=TaskManager(include_path=str(folder), include_defaults=False), batch_size=4, bootstrap_iters=0,
        num_fewshot=HOW[case].get("shots", 0), apply_chat_template=chat, fewshot_as_multiturn=chat,
    )  # fmt: skip
    samples: list[dict[str, Any]] = sorted(found["samples"][case], key=lambda one: one["doc_id"])
    return samples


def ours(case: str, data: Path, model: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the samples of llmkit."""
    from llmkit.cli.main import run

    tasks, out = json.dumps([{"name": case, **llmkit_task(case, data)}]), folder / f"{case}-ours"
    command = ["eval", "--model", str(model), "-s", f"tasks={tasks}", "-o", str(out), "--force", "-q"]
    with redirect_stdout(io.StringIO()):
        failed = run(command)
    if failed:
        sys.exit(f"{case}: llmkit eval failed")
    return [json.loads(line) for line in (out / f"samples-{case}.jsonl").read_text(encoding="utf-8").splitlines()]


def compare(case: str, one: list[dict[str, Any]], other: list[dict[str, Any]]) -> dict[str, float]:
    """Return the greatest relative difference of sums, and how many items differ in anything else."""
    assert len(one) == len(other), f"{case}: {len(one)} and {len(other)} items"
    worst, apart = 0.0, 0
    for mine, your in zip(one, other, strict=True):
        said = [float(answer[0] if isinstance(answer, list | tuple) else answer) for answer in your["filtered_resps"]] \
            if case != "text" else []  # fmt: skip
        sums = mine.get("log_likelihoods") or [mine["log_likelihood"]] if case != "text" else []
        worst = max([worst, *(abs(a / b - 1) for a, b in zip(sums, said, strict=False))])
        same = case == "rolling" or mine["prompt"] == your["arguments"][0][0]
        same &= all(mine[name] == your[name] for name in ("acc", "acc_norm", "acc_bytes") if name in your)
        if case == "text":
            same &= mine["output"] == your["resps"][0][0] and mine["exact_match"] == 100 * your["exact_match"]
        apart += not same
    right = sum(float(your.get("acc", your.get("exact_match", 0))) for your in other)
    return {"items": len(one), "right": right, "differ": apart, "sums": worst}


def main() -> None:
    """Compare, and print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a model directory")
    parser.add_argument("--items", type=Path, help="JSON lines of question, choices and answer, instead of our own")
    parser.add_argument("--limit", type=int, default=30, help="items of each case")
    parser.add_argument("--cases", default=",".join(HOW))
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        items = (read_items(given.items) if given.items else make_items(given.limit))[: given.limit]
        whole = [{"question": text, "choices": ["a", "b"], "answer": 0} for text in python_docs() if len(text) > 2000]
        print(f"{'case':8} {'items':>5} {'right':>5} {'differ':>6} {'sums':>8}")
        for case in given.cases.split(","):
            rows = whole[: given.limit] if case == "rolling" else items
            if case == "text":  # half of the references are what the model itself goes on with
                rows = with_references(rows, given.model, folder)
            data = folder / f"{case}.jsonl"
            data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            found = compare(case, ours(case, data, given.model, folder), theirs(case, data, given.model, folder))
            print(
                f"{case:8} {found['items']:5} {found['right']:5.0f} {found['differ']:6} {found['sums']:8.1e}",
                flush=True,
            )
            failed |= found["differ"] > 0 or found["sums"] > CLOSE
    sys.exit(int(failed))


def with_references(rows: list[dict[str, Any]], model: Path, folder: Path) -> list[dict[str, Any]]:
    """Return rows whose `written` is, of every other one, what the model writes behind its question."""
    data = folder / "unwritten.jsonl"
    unwritten = [{**row, "written": "-"} for row in rows]
    data.write_text("".join(json.dumps(row) + "\n" for row in unwritten), encoding="utf-8")
    # The shot of a question is the first other row: its reference must not change between the two runs.
    said = [sample["output"] for sample in ours("text", data, model, folder)]
    return [{**row, "written": f" {text} " if i > 1 and i % 2 else "-"} for i, (row, text) in
            enumerate(zip(unwritten, said, strict=True))]  # fmt: skip


if __name__ == "__main__":
    main()

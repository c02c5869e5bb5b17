"""Tasks in files of the user's own, and the options of `eval`, through the command line."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from pages import typed

ITEMS = [{"question": f"Q{i}", "choices": ["yes", "no"], "answer": i % 2} for i in range(8)]


@pytest.fixture
def bench(tmp_path):
    """A folder with a task and its data, as it lies in a user's repository."""
    folder = tmp_path / "bench"
    folder.mkdir()
    lines = [json.dumps(item) + "\n" for item in ITEMS]
    (folder / "items.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "mine.yaml").write_text("# My benchmark.\ntype: multiple_choice\ndata: items.jsonl\n", encoding="utf-8")
    return folder


@pytest.fixture
def evaluate(cli, chain):
    def run(*arguments, code=0):
        outcome = cli("eval", "--model", chain.base, "-o", "out", *arguments)
        assert outcome.code == code, outcome.err
        return outcome.err if code else json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]

    return run


def test_a_task_is_a_file_whose_name_it_has(evaluate, bench):
    found = evaluate("--task", "bench/mine.yaml", "--limit", "3")
    assert list(found) == ["mine"]
    assert found["mine"]["task"]["limit"] == found["mine"]["results"]["model"]["num_samples"] == 3
    assert Path("out/samples-mine.jsonl").is_file()


def test_its_paths_are_its_own_from_wherever_it_is_used(evaluate, bench, monkeypatch, cli):
    (bench.parent / "elsewhere").mkdir()
    monkeypatch.chdir(bench.parent / "elsewhere")
    evaluate("--task", "../bench/mine.yaml")
    other = bench / "drawn.yaml"
    text = "type: multiple_choice\ndata: {type: files, path: ./items.jsonl}\nshots_data: items.jsonl\nnum_shots: 2\n"
    other.write_text(text, encoding="utf-8")
    assert list(evaluate("--task", other, "--task", bench / "mine.yaml", "--force")) == ["drawn", "mine"]


def test_a_recipe_names_files_and_sets_refine_them(evaluate, bench):
    Path("eval.yaml").write_text(
        "tasks:\n- bench/mine.yaml\n- {type: perplexity, data: bench/items.jsonl}\n", encoding="utf-8"
    )
    Path("bench/items.jsonl").write_text(
        "".join(json.dumps({**item, "text": "The fox."}) + "\n" for item in ITEMS), encoding="utf-8"
    )
    found = evaluate("-r", "eval.yaml", "-s", "tasks.0.limit=2", "--limit", "5")
    counts = {name: task["results"]["model"]["num_samples"] for name, task in found.items()}
    assert counts == {"mine": 2, "perplexity": 5}  # what a task says itself goes before the option


def test_the_run_is_known_by_what_the_file_says_not_by_where_it_lies(cli, chain, bench):
    arguments = ["eval", "--model", chain.base, "-o", "out"]
    cli(*arguments, "--task", "bench/mine.yaml")
    bench.rename(bench.parent / "moved")
    assert "is up to date" in cli(*arguments, "--task", "moved/mine.yaml").out
    Path("moved/mine.yaml").write_text("type: multiple_choice\ndata: items.jsonl\nnum_shots: 1\n", encoding="utf-8")
    outcome = cli(*arguments, "--task", "moved/mine.yaml")
    assert outcome.code == 2
    assert "tasks" in outcome.err


def test_a_name_of_a_type_takes_data(evaluate, chain, bench):
    found = evaluate("--task", "perplexity", "--task", "answers", "--data", chain.pairs, "--limit", "2", code=3)
    assert "holds examples, not" in found
    found = evaluate("--task", "multiple_choice", "--data", "bench/items.jsonl", "--chat", "off")
    assert found["multiple_choice"]["results"]["model"]["num_samples"] == 8
    assert found["multiple_choice"]["task"]["chat"] == "off"
    error = evaluate("--task", "bench/mine.yaml", "--data", "x", code=2)
    assert "--data is for tasks that --task names by type" in error
    assert "tasks.0.data: required, but not given" in evaluate("--task", "perplexity", code=2)


def test_names_are_unique_and_safe(evaluate, bench):
    (bench / "more").mkdir()
    text = (bench / "mine.yaml").read_text(encoding="utf-8").replace("items", "../items")
    (bench / "more" / "mine.yaml").write_text(text, encoding="utf-8")
    two = ["--task", "bench/mine.yaml", "--task", "bench/more/mine.yaml"]
    error = evaluate(*two, code=2)
    assert "tasks.1: it is called 'mine', and so is tasks.0: rename one of them" in error
    assert list(evaluate(*two, "-s", "tasks.1.name=other")) == ["mine", "other"]
    assert "tasks.0.name: " in evaluate("--task", "bench/mine.yaml", "-s", "tasks.0.name=../x", code=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type: multiple_choice\ndata: items.jsonl\npromt: x\n",
         "tasks.0.promt: unknown field; did you mean 'prompt'? (bench/bad.yaml:3)"),
        ("type: multiple_choice\ndata: items.jsonl\n\nnum_shots: many\n",
         "tasks.0.num_shots: should be a valid integer, not 'many' (bench/bad.yaml:4)"),
        ("type: multiple_choice\ndata: items.jsonl\nprompt: '{{ a b }}'\n",
         "tasks.0.prompt: not a template: expected token 'end of print statement', got 'b' (line 1) (bench/ba"),
        ("type: multiple_chioce\n", "unknown task 'multiple_chioce'; did you mean 'multiple_choice'? (bench/bad"),
        ("data: items.jsonl\n", "tasks.0: missing 'type'; valid: "),
        ("type: multiple_choice\n", "tasks.0.data: required, but not given (bench/bad.yaml)"),
        ("- type: multiple_choice\n", "bench/bad.yaml: a task file is a mapping of fields, not a list"),
        ("type: multiple_choice\ntype: x\n", "bench/bad.yaml:2: key 'type' is given twice (first on line 1)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said_with_its_line(evaluate, bench, text, message):
    (bench / "bad.yaml").write_text(text, encoding="utf-8")
    assert message in evaluate("--task", "bench/bad.yaml", code=2)


def test_a_file_that_is_not_there_is_said_with_the_nearest(evaluate, bench):
    error = evaluate("--task", "bench/mien.yaml", code=2)
    assert "tasks.0: no such file: bench/mien.yaml; did you mean 'mine.yaml'? (--task)" in error
    error = evaluate("--task", "bench/mine", code=2)
    assert "--task bench/mine: there is no such type; did you mean the file 'bench/mine.yaml'?" in error
    Path("eval.yaml").write_text("tasks:\n- bench/no/x.yaml\n", encoding="utf-8")
    assert "tasks.0: no such file: bench/no/x.yaml (eval.yaml:2)" in evaluate("-r", "eval.yaml", code=2)


def test_a_task_of_the_users_own_lies_beside_its_file(evaluate, bench):
    (bench / "counting.py").write_text(
        "from llmkit.tasks.multiple_choice import MultipleChoice\n\n\n"
        'class Counting(MultipleChoice):\n    """Multiple choice of numbers."""\n\n    num_shots: int = 1\n',
        encoding="utf-8",
    )
    (bench / "own.yaml").write_text("type: counting.py:Counting\ndata: items.jsonl\n", encoding="utf-8")
    assert evaluate("--task", "bench/own.yaml")["own"]["task"]["num_shots"] == 1


def test_the_page_on_a_benchmark_of_ones_own_is_typed_in_an_empty_folder(cli, chain, tmp_path, monkeypatch):
    """The model that it names is stood in for by a tiny one, so that only the figures are others."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache/models--HuggingFaceTB--SmolLM2-135M-Instruct"
    shutil.copytree(chain.model, place / "snapshots/main", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    config = json.loads((place / "snapshots/main/config.json").read_text())
    (place / "snapshots/main/config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))
    first = next(typed("eval-own.md"))
    for name, content in first.files.items():
        Path(name).write_text(content, encoding="utf-8")
    (command,) = first.lines
    outcome = cli(*shlex.split(command)[1:])
    assert outcome.code == 0, outcome.err
    said = f"{outcome.err}\n{outcome.out}"
    for line in first.shown:
        if line.startswith(("Question: ", "[scored: ", "  report")):
            assert line in said
    shown = [line.split()[1] for line in first.shown if line.startswith("  quiz ")]
    assert [line.split()[1] for line in said.splitlines() if line.startswith("  quiz ")] == shown
    assert "  n 20" in said

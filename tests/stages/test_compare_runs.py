"""compare, and eval held to a baseline, through the command line: tables, tests, refusals and exit codes."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from llmkit.data.artifacts import Scores

TASKS = [
    {"type": "perplexity", "data": "CORPUS", "limit": 40},
    {"type": "answers", "data": "PAIRS", "limit": 30},
]


def tasks(chain, *changes):
    """The tasks of the runs, as an option has them."""
    places = {"CORPUS": str(chain.corpus), "PAIRS": str(chain.pairs)}
    made = [{**task, "data": places[task["data"]]} for task in TASKS]
    for number, change in changes:
        made[number] |= change
    return f"tasks={json.dumps(made)}"


@pytest.fixture(scope="module")
def runs(chain, tmp_path_factory):
    """Evaluations of the base model and of the fine-tuned one, on the same tasks."""
    from llmkit.cli.main import run

    root = tmp_path_factory.mktemp("runs")
    for name in ("base", "model"):
        arguments = ["eval", "--model", getattr(chain, name), "-s", tasks(chain), "-o", root / name, "-q"]
        assert run([*map(str, arguments)]) == 0
    return root


@pytest.fixture(scope="module")
def better(chain, tmp_path_factory):
    """The base model, trained on: surely better on its own training text."""
    from llmkit.cli.main import run

    root = tmp_path_factory.mktemp("better")
    arguments = ["pretrain", "--data", chain.tokens, "-s", f"model.path={chain.base}", "-s", "context_length=64"]
    arguments += ["-s", "batch_tokens=256", "-s", "precision=float32", "-s", "optimizer.lr=0.01"]
    arguments += ["--max-steps", 30, "-o", root / "trained"]
    assert run([*map(str, arguments), "-q"]) == 0
    evaluate = ["eval", "--model", root / "trained", "-s", tasks(chain), "-o", root / "run", "-q"]
    assert run([*map(str, evaluate)]) == 0
    return root / "run"


def results(folder):
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))["tasks"]


def test_two_runs_side_by_side(cli, runs, better):
    outcome = cli("compare", runs / "base", better)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["score", "run", "value", "n", "difference", "p", "samples"]
    row = lines.index(next(line for line in lines if line.startswith("perplexity bits_per_byte")))
    assert " base " in lines[row]
    assert lines[row + 1].split()[0] == "run"
    before, now = (results(path)["perplexity"]["results"]["model"] for path in (runs / "base", better))
    for line, found in ((lines[row], before), (lines[row + 1], now)):
        estimate = found["estimates"]["bits_per_byte"]
        assert f"{found['scores']['bits_per_byte']:.4f} [{estimate['low']:.4f}, {estimate['high']:.4f}]" in line
    assert "  better" in lines[row + 1]
    assert "reference base; intervals of 95%; p by paired bootstrap, corrected by Holm for " in outcome.out


def test_the_same_as_one_object(cli, runs, better):
    found = cli("compare", runs / "base", runs / "model", better, "--json").json
    assert (found["status"], found["exit_code"], found["reference"]) == ("done", 0, "base")
    assert list(found["runs"]) == ["base", "model", "run"]
    assert found["runs"]["run"]["path"] == str(better)
    task = found["tasks"]["answers"]
    assert list(task["results"]) == ["base", "model", "run"]
    assert list(task["differences"]) == ["model", "run"]
    one = task["differences"]["model"]["bits_per_byte"]
    values = [task["results"][run]["scores"]["bits_per_byte"] for run in ("model", "base")]
    assert one["test"] == "paired bootstrap"
    assert one["p"] <= one["p_corrected"]
    assert any("prompt: chat, and plain of base" in note for note in task["notes"])
    assert values[0] - values[1] == pytest.approx(one["difference"])


def test_the_reference_is_the_first_or_the_one_that_is_named(cli, runs, better):
    first = cli("compare", better, runs / "base", "--json").json
    named = cli("compare", runs / "base", better, "--baseline", better, "--json").json
    assert first["reference"] == named["reference"] == "run"
    assert first["tasks"] == named["tasks"]
    outside = cli("compare", runs / "base", "--baseline", better, "--json").json
    assert outside["tasks"] == first["tasks"]


def test_a_comparison_with_a_report(cli, runs, better):
    outcome = cli("compare", runs / "base", better, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in Path("out").iterdir()) == ["llmkit.json", "report.html", "results.json"]
    assert "report  out/report.html" in outcome.out
    assert results("out") == cli("compare", runs / "base", better, "--json").json["tasks"]
    assert "perplexity" in Path("out/report.html").read_text(encoding="utf-8")
    assert cli("compare", runs / "base", better, "-o", "out").code == 0, "it may be written again"
    Path("out/mine.txt").touch()
    refused = cli("compare", runs / "base", better, "-o", "out")
    assert refused.code == 2
    assert "--output: out holds mine.txt: a comparison has a folder of its own" in refused.err


def test_a_comparison_is_an_artifact_made_from_its_runs(cli, runs, better):
    assert cli("compare", runs / "base", better, "-o", "out").code == 0
    manifest = json.loads(Path("out/llmkit.json").read_text(encoding="utf-8"))
    assert (manifest["kind"], manifest["stage"]) == ("comparison", "compare")
    ids = [json.loads((path / "llmkit.json").read_text(encoding="utf-8"))["id"] for path in (runs / "base", better)]
    assert [(item["role"], item["kind"], item["digest"]) for item in manifest["inputs"]] == [
        ("reference", "eval", ids[0]), ("run", "eval", ids[1]),
    ]  # fmt: skip
    tree = cli("lineage", "out", "--verify")
    assert tree.code == 0, tree.err
    assert "out (comparison " in tree.out and "by compare" in tree.out and "texts.jsonl" in tree.out
    assert "reference: " in tree.out and "corpus" in tree.out
    shown = cli("summary", "out")
    assert shown.code == 0, shown.err
    marks = manifest["metrics"]["run"]
    assert marks["better"] > 0
    line = f"{marks['better']} better, {marks['worse']} worse than base, of {marks['scores']} scores"
    assert line in " ".join(shown.out.split())
    assert "nothing is left behind" in cli("tidy", "out").out
    Path("out/results.json").write_text("{}", encoding="utf-8")
    drifted = cli("lineage", "out", "--verify")
    assert drifted.code == 7
    assert "results.json has changed" in drifted.err


def test_a_comparison_is_made_once_and_replaced_by_force_alone(cli, runs, better):
    command = ("compare", runs / "base", better, "-o", "out")
    assert cli(*command).code == 0
    before = Path("out/results.json").stat().st_mtime_ns
    assert cli(*command).code == 0
    assert Path("out/results.json").stat().st_mtime_ns == before, "it was there already"
    shutil.copytree(runs / "base", "elsewhere/base")
    assert cli("compare", "elsewhere/base", better, "-o", "out").code == 0, "where a run lies does not count"
    other = cli("compare", runs / "base", runs / "model", "-o", "out")
    assert other.code == 2
    assert "out is finished, from another run" in other.err
    assert "--force to replace it" in other.err
    assert cli("compare", runs / "base", runs / "model", "-o", "out", "--force").code == 0
    assert list(json.loads(Path("out/results.json").read_text(encoding="utf-8"))["runs"]) == ["base", "model"]


def test_a_run_with_a_baseline_of_its_own(cli, chain):
    sets = ("-s", tasks(chain))
    assert cli("eval", "--model", chain.model, "--baseline", chain.base, *sets, "-o", "both").code == 0
    found = cli("compare", "both", "--json").json
    assert (found["reference"], list(found["runs"])) == ("baseline", ["baseline", "model"])
    stored = results("both")["perplexity"]["differences"]
    assert found["tasks"]["perplexity"]["differences"]["model"] == stored
    assert results("both")["perplexity"]["moved"]["score"] == "bits_per_byte"


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["base"], 2, "alone has nothing to be compared with"),
    (["base", "base"], 2, "the same run is named twice"),
    (["base", "CHAIN/base"], 3, "holds a model, not an eval"),
    (["base", "none"], 3, "no such directory"),
    (["base", "other"], 2, "to compare with base: perplexity of other: left out: it has not measured it"),
])  # fmt: skip
def test_what_cannot_be_compared(cli, chain, runs, arguments, code, words):
    shutil.copytree(runs / "base", "base")
    other = f"tasks=[{{type: generation, data: {chain.pairs}, limit: 2, max_new_tokens: 2}}]"
    cli("eval", "--model", chain.base, "-s", other, "-o", "other")
    outcome = cli("compare", *(argument.replace("CHAIN", str(chain.root)) for argument in arguments))
    assert outcome.code == code
    assert words in " ".join(outcome.err.split())
    assert "->" in outcome.err


def test_tasks_with_other_settings_or_on_other_data_are_left_out(cli, chain, runs, jsonl):
    cli("clean", "-i", jsonl("t.jsonl", [f"the old clock {i}" for i in range(9)]), "-s", "steps=[]", "-o", "text")
    changed = tasks(chain, (0, {"data": "text"}), (1, {"limit": 20}))
    assert cli("eval", "--model", chain.base, "-s", changed, "-o", "changed").code == 0
    outcome = cli("compare", runs / "base", "changed")
    assert outcome.code == 2
    said = " ".join(outcome.err.split())
    assert "perplexity of changed: left out: it was measured on other data" in said
    assert "answers of changed: left out: limit: 30 of the reference, 20 here" in said
    changed = tasks(chain, (1, {"limit": 20}))
    assert cli("eval", "--model", chain.base, "-s", changed, "-o", "changed", "--force").code == 0
    outcome = cli("compare", runs / "base", "changed")
    assert outcome.code == 0
    assert "answers of changed: left out: limit: 30 of the reference, 20 here" in outcome.out
    assert "answers bits_per_byte" not in outcome.out


def test_a_run_of_another_version_is_refused(cli, runs):
    shutil.copytree(runs / "base", "old")
    manifest = json.loads(Path("old/llmkit.json").read_text(encoding="utf-8"))
    Path("old/llmkit.json").write_text(json.dumps(manifest | {"stage_version": 4}), encoding="utf-8")
    outcome = cli("compare", runs / "base", "old")
    assert outcome.code == 3
    assert "old was made by version 4 of eval, and this is version 5" in outcome.err


def test_other_versions_of_libraries_are_said(cli, runs):
    shutil.copytree(runs / "base", "old")
    manifest = json.loads(Path("old/llmkit.json").read_text(encoding="utf-8"))
    manifest["versions"]["torch"] = "1.0"
    Path("old/llmkit.json").write_text(json.dumps(manifest), encoding="utf-8")
    outcome = cli("compare", runs / "base", "old")
    assert outcome.code == 0
    assert "old: made with torch 1.0, base with" in outcome.out
    assert "1.00" in outcome.out, "a run does not differ from its copy"


OWN = '''
"""A task of the user's own."""

from llmkit.evaluation.measures import mean
from llmkit.tasks import DataTask, Measurement, TaskResult
from llmkit.runtimes import Score


class Halves(DataTask):
    """A number per row that no model is asked for."""

    example = Score((0,), (0,))
    artifacts = ("corpus",)
    add: float = 0.0
    """What is added."""

    def on(self, model):
        return _Halves(self, model)

    def measures(self, samples):
        return {"half": mean([sample["x"] for sample in samples])}


class _Halves(Measurement):
    def __init__(self, task, model):
        super().__init__(model)
        self.task = task

    def rows(self):
        yield from range(8)

    def requests(self, row):
        return []

    def score(self, row, answers):
        start = len(str(self.model.tokenizer.chat_template or ""))
        return {"id": str(row), "x": (row + start % 7) % 5 / 4}

    def summary(self, samples):
        return TaskResult.of(self.task.measures(samples), samples)
'''


def test_a_task_of_ones_own_needs_its_file(cli, chain, monkeypatch):
    Path("mine.py").write_text(OWN, encoding="utf-8")
    for name in ("base", "model"):
        sets = ("-s", f"tasks=[{{type: mine.py:Halves, data: {chain.corpus}}}]")
        assert cli("eval", "--model", getattr(chain, name), *sets, "-o", name).code == 0
    from llmkit.core import own

    monkeypatch.setattr(own, "_classes", {})  # as in another process
    alone = cli("compare", "base", "model", "--json")
    assert alone.code == 0, alone.err
    found = alone.json["tasks"]["Halves"]
    assert found["differences"]["model"]["half"]["p"] is None
    assert any(
        "'Halves' is somebody's own: name its file, --own path/to/file.py:Halves" in note for note in found["notes"]
    )
    Path("mine.py").write_text(OWN + "\n", encoding="utf-8")
    changed = cli("compare", "base", "model", "--own", "mine.py:Halves", "--json")
    assert changed.json["tasks"]["Halves"]["differences"]["model"]["half"]["p"] is None, "it is another class by now"
    Path("mine.py").write_text(OWN, encoding="utf-8")
    named = cli("compare", "base", "model", "--own", "mine.py:Halves", "--json")
    assert named.json["tasks"]["Halves"]["differences"]["model"]["half"]["test"] == "paired t"
    wrong = cli("compare", "base", "model", "--own", "none.py:Halves")
    assert wrong.code == 2
    assert "--own: " in wrong.err


@pytest.mark.parametrize(("reference", "run", "allowed", "code"), [
    ("run", "base", "0.01", 7), ("run", "base", "1e12", 0), ("base", "run", "0", 0),
])  # fmt: skip
def test_compare_holds_runs_to_the_reference(cli, runs, better, reference, run, allowed, code):
    places = {"base": runs / "base", "run": better}
    outcome = cli("compare", places[reference], places[run], "--max-regression", allowed)
    assert outcome.code == code, outcome.err
    if code:
        assert "are worse than run by more than 1%, beyond noise" in outcome.err
        assert "base: perplexity bits_per_byte: " in outcome.err
        assert "to one side" in outcome.err
        assert "->" in outcome.err
    else:
        assert "scores is worse than" in outcome.err


def test_eval_is_held_to_a_finished_run(cli, chain, better):
    command = ("eval", "--model", chain.base, "--baseline", better, "-s", tasks(chain), "-o", "out")
    outcome = cli(*command, "--max-regression", "0.01")
    assert outcome.code == 7
    assert Path("out/llmkit.json").is_file(), "the artifact is whole all the same"
    before, now = (results(folder)["perplexity"]["results"]["model"]["scores"] for folder in (better, "out"))
    line = next(line for line in outcome.err.splitlines() if "perplexity bits_per_byte: " in line)
    assert f"{now['bits_per_byte']:.4f}, was {before['bits_per_byte']:.4f} (" in line
    assert "% worse): +" in line
    assert "(paired bootstrap, to one side, n 40)" in line
    assert f"llmkit compare {better} out -o out-compared" in outcome.err
    again = cli(*command, "--max-regression", "0.01")
    assert again.code == 7, "a finished run is held to it as well"
    assert cli(*command, "--max-regression", "1e12").code == 0
    assert cli(*command, "--json").json["status"] == "up to date"
    found = results("out")["perplexity"]
    assert list(found["results"]) == ["model", "baseline"]
    assert found["results"]["baseline"]["scores"] == before
    samples = [sample["model"] for sample in Scores("out").samples("perplexity")]
    assert samples == ["model"] * 40 + ["baseline"] * 40
    summary = cli("summary", "out")
    assert summary.code == 0
    assert "worse" in summary.out


def test_eval_is_held_to_a_model(cli, chain):
    arguments = ("--model", chain.base, "--baseline", chain.base, "-s", tasks(chain), "-o", "out")
    outcome = cli("eval", *arguments, "--max-regression", "0")
    assert outcome.code == 0, outcome.err
    assert "scores is worse than the baseline" in outcome.err
    found = results("out")["perplexity"]["differences"]["bits_per_byte"]
    assert (found["difference"], found["p"], found["mark"]) == (0.0, 1.0, "")


def test_a_gate_without_a_baseline(cli, chain):
    outcome = cli("eval", "--model", chain.base, "-s", tasks(chain), "-o", "out", "--max-regression", "0.01")
    assert outcome.code == 2
    assert "max_regression: there is no baseline that scores could be worse than" in outcome.err


@pytest.mark.parametrize(("change", "words"), [
    ((1, {"limit": 7}), "its task answers is another: limit: 30 there, 7 here"),
    ((0, {"data": "PAIRS", "type": "generation", "max_new_tokens": 4}), "it has not measured generation"),
])  # fmt: skip
def test_a_baseline_of_other_tasks(cli, chain, runs, change, words):
    number, fields = change
    fields = {name: str(chain.pairs) if value == "PAIRS" else value for name, value in fields.items()}
    outcome = cli(
        "eval", "--model", chain.base, "--baseline", runs / "base", "-s", tasks(chain, (number, fields)), "-o", "out"
    )
    assert outcome.code == 2
    assert f"baseline: {runs / 'base'}: {words}" in " ".join(outcome.err.split())
    assert "->" in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_a_baseline_of_other_settings_names_the_command_that_makes_an_equal_one(cli, chain, runs):
    shutil.copytree(runs / "base", "before")
    command = (
        "eval",
        "--model",
        chain.model,
        "--baseline",
        "before",
        "-s",
        tasks(chain, (1, {"limit": 7})),
        "-o",
        "out",
    )
    refused = cli(*command, "--json")
    assert refused.code == 2
    assert refused.json["message"].endswith("its task answers is another: limit: 30 there, 7 here")
    words, _, rest = refused.json["hint"].partition(" makes an equal one; ")
    assert rest == f"or name the model itself: --baseline {chain.base}"
    program, *equal = shlex.split(words)
    assert (program, equal[-1]) == ("llmkit", "before-equal")
    assert cli(*equal).code == 0
    again = cli(*command[:4], "before-equal", *command[5:])
    assert again.code == 0, again.err
    assert "run otherwise" not in again.err


def test_what_changes_no_number_is_no_other_baseline(cli, chain, runs):
    """Another place of the same data, another name of a task, another output, and no look for overlap."""
    shutil.copytree(chain.corpus, "elsewhere")
    changed = tasks(chain, (0, {"data": "elsewhere", "name": "novels"}))
    options = ("-s", changed, "-s", "overlap=off", "-o", "out")
    outcome = cli("eval", "--model", chain.base, "--baseline", runs / "base", *options, "--max-regression", "0")
    assert outcome.code == 0, outcome.err
    assert "run otherwise" not in outcome.err
    assert results("out")["novels"]["results"]["baseline"]["notes"] == []


def test_a_finished_run_as_baseline_asks_nothing_of_its_model(cli, chain, runs, monkeypatch):
    from llmkit.runtimes.transformers import Transformers

    loaded = []
    load = Transformers.load
    monkeypatch.setattr(
        Transformers, "load", lambda self, where, **more: loaded.append(where) or load(self, where, **more)
    )
    arguments = ("--model", chain.model, "--baseline", runs / "base", "-s", tasks(chain), "-o", "out")
    assert cli("eval", *arguments).code == 0
    assert loaded == [str(chain.model)]
    assert cli("lineage", "out").code == 0


def test_samples_are_there_while_the_run_goes_on(cli, chain, monkeypatch):
    from llmkit.stages import _eval_measuring

    seen = []
    add = _eval_measuring.add_estimates

    def look(result):
        seen.append([path.name for path in sorted(Path("out/.partial").glob("samples-*"))])
        return add(result)

    monkeypatch.setattr(_eval_measuring, "add_estimates", look)
    outcome = cli("eval", "--model", chain.base, "-s", tasks(chain), "-o", "out")
    assert outcome.code == 0
    assert seen[-1] == ["samples-answers.jsonl", "samples-perplexity.jsonl"]
    assert "perplexity of the model: bits_per_byte " in outcome.err


def test_preflight_takes_a_finished_run_for_a_baseline(cli, chain, runs):
    recipe = {"model": str(chain.base), "baseline": str(runs / "base"), "max_regression": 0.01}
    recipe["tasks"] = json.loads(tasks(chain).removeprefix("tasks="))
    schema = "# yaml-language-server: $schema=https://example.org/eval.json"
    Path("eval.yaml").write_text(f"{schema}\n{json.dumps(recipe)}\n", encoding="utf-8")
    outcome = cli("preflight", "-r", "eval.yaml")
    assert outcome.code == 0, outcome.out + outcome.err


def test_two_tasks_of_one_name_are_refused():
    from types import SimpleNamespace

    from llmkit.core.errors import ConfigError
    from llmkit.stages.evaluate import task_names

    def named(*titles):
        return [SimpleNamespace(title=title, type_name="perplexity") for title in titles]

    assert task_names(named("perplexity", "quartz", "perplexity")) == ["perplexity", "quartz", "perplexity-2"]
    for titles in (("perplexity", "quartz", "quartz"), ("quartz", "perplexity", "quartz")):
        with pytest.raises(ConfigError, match=r"tasks\.2: it is called 'quartz', and so is tasks\.[01]: rename one"):
            task_names(named(*titles))


ASKED = [{"question": f"What is {i}?", "choices": ["clock", "dog", "old man"], "answer": i % 3} for i in range(6)]


@pytest.fixture
def asked(cli, chain, jsonl):
    """Evaluates the base model on one set of questions, asked in some way, into a folder."""
    data = str(jsonl("asked.jsonl", ASKED))

    def call(folder, **fields):
        task = json.dumps({"type": "multiple_choice", "data": data, "chat": "off", **fields})
        assert cli("eval", "--model", chain.base, "-s", f"tasks=[{task}]", "-o", folder).code == 0

    return call


def test_runs_that_only_ask_otherwise_are_compared_and_it_is_said(cli, asked, jsonl):
    examples = str(jsonl("examples.jsonl", ASKED[:2]))
    asked("zero")
    asked("one", num_shots=1, prompt="{{ question }}")
    asked("apart", num_shots=1, shots_data=examples, name="quiz")
    outcome = cli("compare", "zero", "one", "apart", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    task = found["tasks"]["multiple_choice"]
    assert list(task["differences"]) == ["one", "apart"]
    assert task["differences"]["one"]["acc"]["test"] == "McNemar exact"
    said = "one: asked otherwise: num_shots: 0 of the reference, 1 here; prompt: null of the reference, {{ question }}"
    assert any(note.startswith(said) for note in task["notes"])
    assert any(note.startswith("apart: asked otherwise: ") and "shots_data" in note for note in task["notes"])
    assert not found["notes"]


@pytest.mark.parametrize(("fields", "why"), [
    ({"choices": ["{{ choices[0] }}", "{{ choices[1] }}"]}, "choices: null of the reference, none here"),
    ({"limit": 5, "num_shots": 1}, "limit: null of the reference, 5 here"),
])  # fmt: skip
def test_what_changes_the_questions_or_the_scores_is_left_out(cli, asked, fields, why):
    asked("zero")
    asked("other", **fields)
    outcome = cli("compare", "zero", "other")
    assert outcome.code == 2
    assert why in " ".join(outcome.err.split())


def test_no_run_is_held_to_what_was_asked_otherwise(cli, asked):
    asked("zero")
    asked("one", num_shots=1)
    outcome = cli("compare", "zero", "one", "--max-regression", "0.01")
    assert outcome.code == 2
    assert "left out: num_shots: 0 of the reference, 1 here" in " ".join(outcome.err.split())


def test_samples_that_were_edited_are_said(cli, chain, tmp_path):
    rows = "".join(json.dumps({"question": f"{i}?", "choices": ["a", "b"], "answer": i % 2}) + "\n" for i in range(4))
    Path("rows.jsonl").write_text(rows + json.dumps({"question": "no answer?", "choices": ["a", "b"]}) + "\n")
    for name in ("one", "two"):
        made = cli("eval", "--model", chain.base, "--task", "multiple_choice", "--data", "rows.jsonl",
                   "-s", f"tasks.0.num_shots={int(name == 'two')}", "-o", name)  # fmt: skip
        assert made.code == 0, made.err
        assert "1 skipped: they lack a column that the first row has" in made.out
    path = Path("two/samples-multiple_choice.jsonl")
    path.write_text(path.read_text().replace('"acc":', '"axx":'))
    outcome = cli("compare", "one", "two")
    assert outcome.code == 3
    assert "samples-multiple_choice.jsonl holds samples that the task does not write: KeyError: 'acc'" in outcome.err

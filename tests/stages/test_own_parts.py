"""Parts of the user's own in every stage: a file beside the recipe, and nothing of the package edited."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from texts import sentences, write_jsonl

STEP = '''"""Steps of our own."""

from words import MARK

from llmkit.cleaning.steps import Rewrite


class Shout(Rewrite):
    """Write a text in capitals."""

    loud: bool = False
    """Add a mark."""

    def rewrite(self, text, document):
        """Return the text in capitals."""
        print("working")
        document.count("shout.texts", 1)
        return text.upper() + (MARK if self.loud else "")
'''
CLEAN = """steps:
  - normalize
  - type: my/steps.py:Shout
    loud: true
"""


@pytest.fixture
def step(tmp_path):
    """A step, what it imports, a recipe and two files of texts."""
    (tmp_path / "my").mkdir()
    (tmp_path / "my/steps.py").write_text(STEP)
    (tmp_path / "my/words.py").write_text("MARK = '!'\n")
    (tmp_path / "clean.yaml").write_text(CLEAN)
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"{name} {text}"} for text in sentences(20)])
    return ["clean", "-r", "clean.yaml", "-i", "a.jsonl", "-i", "b.jsonl", "-o", "out"]


def texts(out="out"):
    import pyarrow.parquet as pq

    return [text for file in sorted(Path(out).glob("*.parquet")) for text in pq.read_table(file)["text"].to_pylist()]


def test_a_step_cleans_on_two_workers_as_on_one(cli, step):
    two = cli(*step, "--workers", 2, "--json")
    assert two.code == 0, two.err
    assert two.json["metrics"]["documents_kept"] == 40  # and stdout holds nothing beside the JSON
    assert two.err.startswith("importing my/steps.py\n")
    assert all(text == text.upper() and text.endswith("!") for text in texts())
    one = cli(*step[:-1], "one", "--workers", 1, "--json")
    assert one.json["id"] == two.json["id"]
    assert one.err.count("working") == 40


def test_the_digest_is_the_identity_and_the_path_is_not(cli, step, tmp_path, monkeypatch):
    assert cli(*step).code == 0
    assert "is up to date" in cli(*step).out
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "my").rename(tmp_path / "elsewhere/ours")
    (tmp_path / "elsewhere/ours/steps.py").rename(tmp_path / "elsewhere/ours/x.py")
    moved = "steps=[normalize, {type: ours/x.py:Shout, loud: true}]"
    monkeypatch.chdir(tmp_path / "elsewhere")
    same = cli("clean", "-s", moved, "-i", "../a.jsonl", "-i", "../b.jsonl", "-o", "../out")
    assert (same.code, "is up to date" in same.out) == (0, True)
    Path("ours/words.py").write_text("MARK = '?'\n")
    other = cli("clean", "-s", moved, "-i", "../a.jsonl", "-i", "../b.jsonl", "-o", "../out")
    assert other.code == 2
    assert other.err.splitlines()[1:] == [
        "error: ../out is finished, from another run: steps.1.type.imports.words changed",
        "  -> choose another --output, or add --force to replace it",
    ]
    Path("ours/words.py").write_text("MARK = '!'\n")
    Path("ours/x.py").write_text(STEP + "\n# another word\n")
    assert "steps.1.type.file changed\n" in cli("clean", "-s", moved, "-i", "../a.jsonl", "-i", "../b.jsonl",
                                                "-o", "../out").err  # fmt: skip
    installed = cli("clean", "-s", "steps=[normalize]", "-i", "../a.jsonl", "-i", "../b.jsonl", "-o", "../out")
    assert "steps.1.type.name: Shout there, not set now" in installed.err


def test_what_is_said_of_a_run_names_the_file_and_imports_nothing(cli, step, tmp_path):
    dry = cli(*step, "--dry-run")
    assert [line.split() for line in dry.out.splitlines() if line.startswith("steps.1")] == [
        ["steps.1.type", "my/steps.py:Shout", "clean.yaml:3"],
        ["steps.1.only_languages", "null", "default"],
        ["steps.1.loud", "true", "clean.yaml:4"],
    ]
    assert cli(*step).code == 0
    assert json.loads(Path("out/llmkit.json").read_text())["config"]["written"]["steps"][1]["type"] == (
        "my/steps.py:Shout"
    )
    Path("my/steps.py").write_text("raise RuntimeError('imported')\n")
    shown = cli("lineage", "out")
    assert (shown.code, shown.err) == (0, "")
    assert "part: my/steps.py (2 raw files, 0.0 MB)" in shown.out
    assert (cli("summary", "out").code, cli("summary", "out").err) == (0, "")
    drifted = cli("lineage", "out", "--verify")
    assert (drifted.code, "steps.py has changed" in drifted.err) == (7, True)
    (tmp_path / "my").rename(tmp_path / "gone")
    assert cli("lineage", "out").code == cli("summary", "out", "--json").code == 0


@pytest.mark.parametrize(("steps", "words"), [
    ("[my/step.py:Shout]", "steps.0: no such file: my/step.py; did you mean 'steps.py'? (--set)"),
    ("[{type: my/steps.py}]", "steps.0.type: 'my/steps.py' does not say which class of the file is meant; it defines"
                              " my/steps.py:Shout (--set)"),
    ("[{type: my/steps.py:Shot}]", "steps.0.type: my/steps.py defines no 'Shot'; did you mean 'Shout'? (--set)"),
    ("[{type: my/steps.py:MARK}]", "steps.0.type: my/steps.py:MARK is a str: derive it from Step of"
                                   " llmkit.cleaning.steps (--set)"),
    ("[{type: my/steps.py:Shout, lout: 1}]", "steps.0.lout: unknown field; did you mean 'loud'? (--set)"),
    ("[{type: my/steps.py:Shout, loud: 1}]", "steps.0.loud: should be a valid boolean, not 1 (--set)"),
    ("[normalize, my/bad.py:A]", "steps.1: my/bad.py, line 1: SyntaxError: invalid syntax (--set)"),
    ("[normalize, my/raises.py:A]",
     "steps.1: my/raises.py does not import: my/raises.py, line 1: KeyError: 'x' (--set)"),
])  # fmt: skip
def test_errors_have_a_dotted_path_and_no_traceback(cli, step, steps, words):
    Path("my/bad.py").write_text("def\n")
    Path("my/raises.py").write_text("{}['x']\n")
    for options in (["-o", "out"], ["--dry-run"], ["--dry-run", "--json"]):
        failed = cli("clean", "-i", "a.jsonl", "-s", f"steps={steps}", *options)
        assert failed.code == 2
        said = [line for line in failed.err.splitlines() if not line.startswith("importing ")]
        assert said == [f"error: {words}", "  -> llmkit schema clean --fields"]
    assert failed.json["message"] == words
    assert not Path("out").exists()


def run(*arguments, env=()):
    command = [sys.executable, "-m", "llmkit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **dict(env)})


KILLED = '''from pathlib import Path
import os, signal
from llmkit.cleaning.steps import Step

class Fragile(Step):
    """Kills its process."""
    def apply(self, document):
        if Path("kill").exists() and document.text.startswith("b"):
            os.kill(os.getpid(), signal.SIGKILL)
'''


def test_a_killed_run_goes_on_unless_the_part_has_changed(step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my/fragile.py").write_text(KILLED)
    arguments = [*step, "-s", "steps=[my/fragile.py:Fragile]", "--workers", 1]
    Path("kill").touch()
    assert run(*arguments).returncode == -signal.SIGKILL
    Path("kill").unlink()
    Path("my/fragile.py").write_text(KILLED + "# edited\n")
    refused = run(*arguments)
    assert refused.returncode == 2
    assert "out holds an unfinished run of another config: steps.0.type.file changed" in refused.stderr
    assert "add --force to move it aside and start anew" in refused.stderr
    Path("my/fragile.py").write_text(KILLED)
    gone_on = run(*arguments)
    assert (gone_on.returncode, gone_on.stderr.count("importing")) == (0, 1)
    assert len(texts()) == 40


def test_a_worker_refuses_a_file_that_has_changed_since(cli, step):
    Path("my/steps.py").write_text(STEP.replace(
        "from words", "import os, pathlib\nif os.environ.get('EDIT'):\n"
        "    new = pathlib.Path(f'my/{os.getpid()}.new')\n    new.write_text('MARK = 2')\n"
        "    new.replace('my/words.py')\nfrom words"))  # fmt: skip
    failed = run(*step, "--workers", 2, "--json", env={"EDIT": "1"})
    message = json.loads(failed.stdout)["message"]
    assert (failed.returncode, message) == (2, f"{Path('my/steps.py').resolve()} has changed since this run has begun")


def test_the_page_shows_what_happens(cli):
    page = (Path(__file__).resolve().parents[2] / "docs/own-parts.md").read_text()
    code = re.findall(r"^```(?:python|yaml|json)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    Path("my").mkdir()
    for name, text in zip(("my/steps.py", "my/words.py", "clean.yaml", "pages.jsonl"), code, strict=True):
        Path(name).write_text(text)
    done = cli("clean", "-r", "clean.yaml", "-i", "pages.jsonl", "-o", "corpus")
    assert (done.code, done.err) == (0, "importing my/steps.py\n")
    for line in done.out.splitlines()[1:]:
        assert f"{line}\n" in page
    assert f"clean: corpus (corpus {json.loads(Path('corpus/llmkit.json').read_text())['id'][:12]})" in page
    Path("my/words.py").write_text(code[1].replace("Sign in", "Sign out"))
    refused = cli("clean", "-r", "clean.yaml", "-i", "pages.jsonl", "-o", "corpus")
    assert (refused.code, refused.err in page) == (2, True)
    typo = cli("clean", "-i", "pages.jsonl", "-s", "steps=[my/steps.py:Boilerplat]", "-o", "corpus")
    assert typo.err in page


SOURCE = '''"""A source and a kind of rows of our own."""

from pathlib import Path
from typing import Annotated

from llmkit.core.config import NotIdentity
from llmkit.data.rows.text_label import TextLabel
from llmkit.data.sources import RawFile, Record, Source


class Lines(Source):
    """A document a line."""

    path: Annotated[str, NotIdentity] = "lines.txt"
    """The file."""

    def files(self):
        return [RawFile(str(Path(self.path).absolute()), Path(self.path).name, Path(self.path).stat().st_size)]

    def root(self):
        return str(Path(self.path).absolute())

    def read(self, file):
        for row, line in enumerate(Path(file.path).read_text().splitlines()):
            yield Record(row, line, "lines")


class Reviews(TextLabel):
    """A text and its label, under names of our own."""

    aliases = {"text": ("body",), "label": ("stars",)}
'''


def test_a_source_by_a_bare_string(cli):
    Path("sources.py").write_text(SOURCE)
    Path("lines.txt").write_text("one\ntwo\n")
    done = cli("clean", "-i", "sources.py:Lines", "-s", "steps=[]", "-o", "out")
    assert done.code == 0, done.err
    assert sorted(texts()) == ["one", "two"]
    assert "sources.py:Lines" in cli("clean", "-i", "sources.py:Lines", "--dry-run").out


OBJECTIVE = '''"""Objectives of our own."""

from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.rows.classification import Classification
from llmkit.objectives.rows.sft import SFT
from llmkit.training.optimizers.adamw import AdamW


class Half(CausalLM):
    """Half the loss."""

    factor: float = 0.5
    """Of the loss."""

    def loss(self, models, batch):
        return {name: (value, self.factor * weight) for name, (value, weight) in super().loss(models, batch).items()}


class Ours(SFT):
    """Supervised fine-tuning under a name of our own."""


class Stars(Classification):
    """Classification of rows of our own."""

    rows = ("Reviews",)


class Gentle(AdamW):
    """AdamW with a small learning rate."""

    lr: float = 1e-5
    """Peak learning rate."""
'''


def test_rows_of_ones_own_are_cleaned_kept_and_learned(cli, chain, training_options):
    Path("sources.py").write_text(SOURCE)
    Path("objectives.py").write_text(OBJECTIVE)
    rows = [{"body": text, "stars": "good" if i % 2 else "bad"} for i, text in enumerate(sentences(24))]
    write_jsonl(Path("rows.jsonl"), rows)
    cleaned = cli("clean", "-i", "rows.jsonl", "--row", "sources.py:Reviews", "-s", "steps=[]", "-o", "examples")
    assert cleaned.code == 0, cleaned.err
    assert "Rows are Reviews (text" in Path("examples/README.md").read_text()
    details = json.loads(Path("examples/llmkit.json").read_text())["details"]
    assert details["row"]["type"]["name"] == "Reviews"
    training = ["--model", chain.base, *training_options, "--max-steps", 1, "-s", "objective=objectives.py:Stars"]
    unnamed = run("finetune", "--data", "examples", *training, "-o", "out")  # what an artifact names is not imported
    assert (unnamed.returncode, "sources.py" in unnamed.stderr.partition("->")[0]) == (3, False)
    assert "examples holds rows of the kind 'Reviews', which was somebody's own" in unnamed.stderr
    assert "row: path/to/file.py:Reviews" in unnamed.stderr
    named = "data=[{type: files, path: examples, row: sources.py:Reviews}]"
    done = cli("finetune", "-s", named, *training, "-o", "out")
    assert done.code == 0, done.err
    assert json.loads(Path("out/llmkit.json").read_text())["config"]["resolved"]["objective"]["labels"] == [
        "bad", "good",
    ]  # fmt: skip
    raw = run("finetune", "--data", "rows.jsonl", *training, "-o", "raw")
    assert (raw.returncode, "row: unknown row 'Reviews'" in raw.stderr) == (2, True)


def first_loss(out):
    rows = map(json.loads, Path(out, "metrics.jsonl").read_text().splitlines())
    return next(row["loss"] for row in rows if "loss" in row)


def test_objectives_and_an_optimizer_train(cli, chain, model_options, training_options):
    Path("parts.py").write_text(OBJECTIVE)
    given = ["--data", chain.tokens, *model_options, *training_options, "--max-steps", 2, "--json"]
    usual = cli("pretrain", *given, "-o", "usual").json
    half = cli("pretrain", *given, "-s", "objective=parts.py:Half", "-s", "optimizer=parts.py:Gentle", "-o", "half")
    assert half.code == 0, half.err
    assert half.json["id"] != usual["id"]
    losses = {name: first_loss(name) for name in ("usual", "half")}
    assert losses["half"] == pytest.approx(losses["usual"] / 2, rel=1e-5)
    other = cli("pretrain", *given, "-s", "objective={type: parts.py:Half, factor: 0.25}", "-s",
                "optimizer=parts.py:Gentle", "-o", "half")  # fmt: skip
    assert (other.code, "objective.factor: 0.5 there, 0.25 now" in other.err) == (2, True)
    tuned = cli("finetune", "--data", chain.pairs, "--model", chain.base, *training_options, "--max-steps", 1,
                "-s", "objective=parts.py:Ours", "-o", "tuned")  # fmt: skip
    assert tuned.code == 0, tuned.err


TASK = '''"""Tasks and a metric of our own."""

from llmkit.metrics import Metric
from llmkit.tasks.perplexity import Perplexity


class Mine(Perplexity):
    """Perplexity under a name of our own."""


class Vowels(Metric):
    """Count vowels."""

    letters: str = "aeiou"
    """What is counted."""

    def load(self):
        from llmkit.metrics._pairs import PairMetric

        return PairMetric("vowels", "Vowels, 0 to 100.", "", self._score)

    def _score(self, predictions, references):
        print("scoring")
        return {"vowels": float(sum(letter in self.letters for text in predictions for letter in text) % 100)}
'''


def test_a_task_and_a_metric_measure(cli, chain):
    Path("tasks.py").write_text(TASK)
    tasks = [
        {"type": "./tasks.py:Mine", "data": str(chain.corpus), "limit": 4},
        {
            "type": "generation",
            "data": str(chain.pairs),
            "limit": 2,
            "max_new_tokens": 8,
            "metrics": ["tasks.py:Vowels", "rouge"],
        },
    ]
    done = cli("eval", "--model", chain.model, "-s", f"tasks={json.dumps(tasks)}", "-o", "out", "--json")
    assert done.code == 0, done.err
    assert set(done.json["metrics"]) == {"Mine", "generation"}
    assert "vowels" in done.json["metrics"]["generation"]["model"]
    assert "scoring" in done.err
    assert Path("out/samples-Mine.jsonl").is_file()
    results = json.loads(Path("out/results.json").read_text())["tasks"]
    assert results["Mine"]["task"]["type"]["name"] == "Mine"
    assert "part: tasks.py" in cli("lineage", "out").out


EXPORTER = '''"""An exporter of our own."""

from llmkit.exporters.safetensors import Safetensors
from llmkit.runtimes.transformers import Transformers


class Reader(Transformers):
    """What loads it in the fresh process, which imports this file."""


class Noted(Safetensors):
    """A safetensors directory with a note."""

    note: str = "ours"
    """What it says."""

    def write(self, model, tokenizer, directory, *more, **others):
        super().write(model, tokenizer, directory, *more, **others)
        (directory / "note.txt").write_text(self.note)

    def runtime(self):
        return Reader(plain=True)
'''


def test_an_exporter_writes_and_is_proved(cli, chain):
    Path("exporters.py").write_text(EXPORTER)
    done = cli("export", "--model", chain.model, "-s", "exporter=exporters.py:Noted", "-o", "out", "--json")
    assert done.code == 0, done.err
    assert Path("out/note.txt").read_text() == "ours"
    assert done.json["metrics"]["parity"]["passed"]
    assert done.json["metrics"]["parity"]["runtimes"]["export"]["runtime"]["type"] == "exporters.py:Reader"
    assert "exporters.py:Noted" in cli("summary", "out").out


TALKER = '''"""A source that talks."""

from llmkit.data.sources.files import Files


class Talker(Files):
    """Files, with words."""

    def read(self, file):
        print("reading")
        yield from super().read(file)

    def files(self):
        print("looking")
        return super().files()
'''


@pytest.mark.parametrize("command", [["preflight"], ["plan", "--stage", "clean"], ["clean", "--dry-run"]])
def test_what_a_part_prints_is_no_result(cli, step, command):
    Path("my/talker.py").write_text(TALKER)
    sets = ["-s", "inputs=[{type: my/talker.py:Talker, path: a.jsonl}]"]
    done = cli(*command, "-r", "clean.yaml", *sets, "--json")
    assert done.code == 0, done.err
    assert done.json["exit_code"] == 0


def test_processes_of_a_training_import_from_where_the_command_does(cli, monkeypatch):
    commands = []
    monkeypatch.setattr("llmkit.work.launch.start", lambda nproc, command: commands.append(command) or 0)
    given = ["pretrain", "--data", "tokens", "-s", "model=llama-7m", "--max-steps", 1, "--nproc", 2, "-o", "out"]
    for path in (sys.path, [*sys.path, str(Path.cwd())]):
        monkeypatch.setattr(sys, "path", path)
        outcome = cli(*given)
        assert outcome.code == 0, outcome.err
    assert [command[1:4] for command in commands] == [["-P", "-m", "llmkit"], ["-m", "llmkit", *sys.argv[1:2]]]

"""preflight, through the command line: a chain that is right, and for each check one that is wrong in just that way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmkit.chain.checks import _modules
from llmkit.cli.preflight import split_groups
from llmkit.core.recipes import shipped_recipes
from texts import sentences

SCHEMA = "# yaml-language-server: $schema=https://example.org/{}.json\n"
LLAMA = (
    "{arch: llama, config: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,"
    " num_key_value_heads: 2}}"
)
SIZES = "context_length: 64\nbatch_tokens: 256\nprecision: float32\nmax_steps: 4\n"
RECIPES = {
    "clean": ("clean", "inputs: [texts.jsonl]\nsteps: [normalize, exact_duplicates]\n"),
    "pairs": ("clean", "inputs: [{type: files, path: pairs.jsonl, row: auto}]\nsteps: [normalize]\n"),
    "tokenize": ("tokenize", "inputs: [build/corpus]\ntokenizer: {type: bpe, vocab_size: 400}\n"),
    "pretrain": ("pretrain", f"data: [build/tokens]\nmodel: {LLAMA}\n{SIZES}"),
    "finetune": ("finetune", f"data: [build/pairs]\nmodel: build/base\n{SIZES}"),
    "eval": (
        "eval",
        "model: build/model\nbaseline: build/base\n"
        "tasks: [{type: perplexity, data: build/tokens}, {type: generation, data: build/pairs, max_new_tokens: 8}]\n",
    ),
    "export": ("export", "model: build/model\n"),
}
ALL = list(RECIPES)


@pytest.fixture
def project(tmp_path) -> Path:
    """Recipes of a whole chain, with raw texts and questions beside them; nothing is built."""
    for name, (stage, text) in RECIPES.items():
        (tmp_path / f"{name}.yaml").write_text(SCHEMA.format(stage) + text)
    texts = [{"text": text, "license": "CC-BY-4.0"} for text in sentences(200)]
    pairs = [{"prompt": f"What is {i}?", "completion": text, "license": "CC0"} for i, text in enumerate(sentences(40))]
    for name, rows in (("texts", texts), ("pairs", pairs)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def checked(cli, project) -> Callable[..., SimpleNamespace]:
    """Check recipes by their names, in order; words after a name are options of that run."""

    def check(*words: str) -> SimpleNamespace:
        arguments: list[str] = []
        for word in words:
            arguments += ["-r", f"{word}.yaml"] if (project / f"{word}.yaml").exists() else [word]
        outcome = cli("preflight", *arguments, "--json")
        found = json.loads(outcome.out)["found"] if outcome.out else []
        return SimpleNamespace(
            code=outcome.code,
            err=outcome.err,
            outputs={run["run"]: run["output"] for run in json.loads(outcome.out)["runs"]} if outcome.out else {},
            problems=[
                f"{item['run']}: {item['field']}: {item['message']}" for item in found if item["level"] == "problem"
            ],
            of={(item["run"], item["check"], item["field"]): item["message"] for item in found},
        )

    return check


def test_a_chain_that_is_right(checked):
    found = checked(*ALL)
    assert (found.code, found.problems, found.err) == (0, [], "")
    assert found.outputs == {
        "clean": "build/corpus", "pairs": "build/pairs", "tokenize": "build/tokens", "pretrain": "build/base",
        "finetune": "build/model", "eval": None, "export": None,
    }  # fmt: skip
    assert found.of["tokenize", "links", "inputs.0"] == "build/corpus: a corpus, by clean"
    assert found.of["finetune", "links", "model"] == "build/base: a model, by pretrain"
    assert found.of["pretrain", "vocabulary", "model"] == "at most 400 tokens, 400 rows in the embedding"
    assert found.of["finetune", "context", "context_length"] == "64 of 64 positions"
    assert found.of["finetune", "rows", "objective"] == "sft reads the prompt_completion rows of pairs"
    assert found.of["clean", "licences", "inputs.0"] == "of 100 rows: CC-BY-4.0 100"
    assert found.of["export", "exporter", "exporter"] == "safetensors of a llama"
    assert "there; " in found.of["pretrain", "memory", ""]
    assert found.of["", "disk", ""].startswith("the chain writes ")
    # Every check has said something of this chain, or has nothing to say where all is well.
    assert {module.replace("_", " ") for module in _modules()} - {check for _, check, _ in found.of} == {
        "adapters", "extras", "splits",
    }  # fmt: skip


def test_what_is_found_is_a_table_with_a_line_for_each(cli, project):
    outcome = cli("preflight", "-r", "clean.yaml", "-r", "tokenize.yaml")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["run", "check", "what", "was", "found"]
    assert any(line.split()[:4] == ["tokenize", "links", "ok", "build/corpus:"] for line in lines)
    assert lines[-1] == "preflight: 2 runs, 0 problems, 0 warnings"


# What is wrong: the run and its words, how it is made so, the message and the code.
WRONG = {
    "settings": ("pretrain", ["-s", "optimizer.lrr=1", "-s", "context_length=x"], [
        "pretrain: optimizer.lrr: unknown field; did you mean 'lr'? (--set)",
        "pretrain: context_length: should be a valid integer, not 'x' (--set)"], 2),
    "settings of a stage": ("pretrain", ["-s", "model.config.hiden_size=64"], [
        "pretrain: model.config.hiden_size: "], 2),
    "order of steps": ("clean", ["-s", "steps=[shuffle, length]"], ["clean: steps.0: shuffle has to be"], 2),
    "nobody writes it": ("tokenize", ["-i", "build/corpse"], [
        "tokenize: inputs.0: no such file or directory: build/corpse; nothing before tokenize in this chain writes it"
        " (clean writes build/c)"], 3),
    "another kind": ("tokenize", ["-i", "build/pairs"], [
        "tokenize: inputs.0: pairs writes examples there, and tokenize reads a corpus"], 3),
    "its own output": ("tokenize", ["-i", "build/t", "-o", "build/t"], [
        "tokenize: inputs.0: build/t is what this run writes itself"], 2),
    "one place for two": ("pretrain", ["-o", "build/c"], ["pretrain: : pretrain and clean both write to build/c"], 2),
    "one inside another": ("pretrain", ["-o", "build/c/base"], [
        "pretrain: : build/c/base, which pretrain writes, lies inside build/c, which clean writes"], 2),
    "an input inside": ("clean", ["-i", "raw", "-o", "."], [
        "clean: inputs.0: the output . holds the input raw: writing would remove it"], 2),
    "not ours": ("clean", ["-o", "raw"], ["--output raw is not an llmkit artifact and not empty"], 2),
    "rows": ("finetune", ["-s", "objective=classification"], [
        "finetune: objective: classification reads text_label or text_pair, and the data hold prompt_completion"], 3),
    "vocabulary": ("pretrain", ["-s", "model.config.vocab_size=300"], [
        "pretrain: model.config.vocab_size: 300 is too small: the tokenizer has 400 ids"], 2),
    "context": ("finetune", ["-s", "context_length=128"], [
        "finetune: context_length: 128 is over the 64 positions of the model in build/base"], 2),
    "mask": ("pretrain", ["-s", "objective=masked_lm", "-s", "model=bert-mini"], [
        "the tokenizer in 'build/tokens' has no MASK token, which masked_lm needs"], 3),
    "sentinels": ("pretrain", ["-s", "objective=fill_in_the_middle"], [
        "the tokenizer in 'build/tokens' has no token '<|fim_prefix|>', which fill_in_the_middle needs"], 3),
    "few sentinels": ("tokenize", ["-s", "tokenizer={type: unigram, vocab_size: 1000, sentinels: 2}"], [
        "pretrain: objective: the tokenizer in 'build/tokens' has no token '<extra_id_2>', and span_corruption needs"
        " 3 sentinels from <extra_id_0> on"], 3),
    "template": ("tokenize", ["-s", "tokenizer.special_tokens=[]"], [
        "finetune: objective: the tokenizer of build/tokens has no chat template, and the default one needs"
        " <|im_start|> and <|im_end|>"], 3),
    "split": ("tokenize", ["-s", "test_fraction=0"], [
        "eval: tasks.0.split: build/tokens has no split 'test', which perplexity measures on"], 3),
    "room for an answer": ("eval", ["-s", "tasks.1.max_new_tokens=64"], [
        "eval: tasks.1.max_new_tokens: 64 leave no room for a question in the 64 positions of the model"], 2),
    "an adapter's adapter": ("finetune", [
        "--lora", "-r", "finetune.yaml", "--lora", "--model", "build/model", "-o", "b"], [
        "finetune-2: model: build/model is an adapter itself, and lora needs a whole model"], 2),
    "an export of virtual tokens": ("finetune", [
        "-s", "adapter={type: prompt, tokens: 4}", "-s", "context_length=60", "-s", "batch_tokens=240"], [
        "export: model: build/model is an adapter of the kind prompt, whose virtual tokens cannot be merged"], 2),
    "an adapter of a split model": ("finetune", ["--lora", "-s", "parallel.shard=2", "--nproc", "2"], [
        "finetune: parallel: shard 2 x tensor 1 x context 1: a model of which only a part is trained (adapter: lora)"
        " is not split"], 2),
    "no prediction": ("export", ["-r", "predict=", "--model", "build/base", "-i", "texts.jsonl", "-o", "build/said"], [
        "predict: model: build/base has the head causal_lm: it writes text, and predict gives labels, numbers, tags,"
        " spans and vectors"], 3),
    "no score": ("finetune", ["-s", "objective=classification", "-s", "data=[labels.jsonl]"], [
        "eval: model: build/model has the head sequence_classification, which does not answer the score requests of"
        " perplexity"], 3),
    "rows of a task": ("pairs", ["-s", "inputs.0.row={type: text_label, columns: {text: prompt, label: license}}"], [
        "finetune: objective: sft reads ",
        "eval: tasks.1.data: generation asks questions, and build/pairs holds text_label"], 2),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_chain_that_is_wrong_in_one_way(checked, project, what):
    name, options, messages, code = WRONG[what]
    (project / "raw").mkdir()
    (project / "raw/a.txt").write_text("a text")
    (project / "labels.jsonl").write_text('{"text": "one", "label": "a"}\n{"text": "two", "label": "b"}\n')
    few = {
        "an input inside": ["clean"],
        "not ours": ["clean"],
        "its own output": ["clean", "tokenize"],
        "few sentinels": ["clean", "tokenize", "pretrain"],
    }
    recipes = few.get(what, ALL)
    placed = any("build/c" in word for word in options)  # where `clean` is told where to write
    words: list[str] = []
    for recipe in recipes if not placed else ["clean", "tokenize", "pretrain"]:
        words += [recipe, *(["-o", "build/c"] if placed and recipe == "clean" else [])]
        words += ["-i", "build/c"] if placed and recipe == "tokenize" and name != "tokenize" else []
        words += options if recipe == name else []
        words += (
            ["-s", "objective=span_corruption", "-s", "model=t5-mini"]
            if (what, recipe) == ("few sentinels", "pretrain")
            else []
        )
    found = checked(*words)
    assert found.code == code, found.problems
    for message in messages:
        assert any(message in problem for problem in found.problems), found.problems
    assert all(f"{problem.partition(': ')[0]}: " in found.err for problem in found.problems)


def test_all_problems_of_all_recipes_at_once_and_the_worst_code(checked):
    found = checked(
        "clean", "-s", "stepps=[]", "tokenize", "-s", "tokenizer.vocab_size=0", "pretrain", "-s", "model=lama-7m",
        "-s", "bach_tokens=3",
    )  # fmt: skip
    assert found.code == 2
    assert [problem.split(": ")[:2] for problem in found.problems if ": " in problem] == [
        ["clean", "stepps"], ["tokenize", "tokenizer.vocab_size"], ["pretrain", "model"], ["pretrain", "bach_tokens"],
    ]  # fmt: skip
    assert "-> llmkit schema pretrain --fields" in found.err
    worse = checked("clean", "-s", "stepps=[]", "finetune", "--model", "nowhere")
    assert worse.code == 3
    assert any("model: no such directory: nowhere" in problem or "nowhere" in problem for problem in worse.problems)


def test_the_machine_is_too_small(checked, monkeypatch):
    monkeypatch.setattr("llmkit.training.memory.device_limit", lambda: 8_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100_000, total=1_000_000))
    found = checked("clean", "tokenize", "pretrain")
    assert found.code == 4
    assert any("pretrain: micro_batch_tokens: a step needs about" in problem for problem in found.problems)
    assert any("the chain writes " in problem and "100.0 kB are free" in problem for problem in found.problems)
    assert "-s pretrain.micro_batch_tokens=64 gives the same result with less at a time" in found.err
    assert "lists what runs left behind" in found.err
    assert "--remove" not in found.err


def test_an_extra_that_is_not_there(checked, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    found = checked("clean", "-s", "engine=ray", "tokenize")
    assert found.code == 4
    assert found.problems == ["clean: engine: this needs the 'ray' extra, which is not installed"]
    assert '-> pip install "llmkit[ray]"' in found.err


@pytest.mark.parametrize(("licences", "words"), [
    (["CC-BY-NC-4.0", "MIT"], "50 of 100 rows state a non-commercial licence: CC-BY-NC-4.0"),
    (["cc-by-nd-3.0", "MIT"], "50 of 100 rows state a no-derivatives licence: cc-by-nd-3.0"),
    (["CC BY-SA 4.0", "MIT"], "50 of 100 rows state a share-alike licence: CC BY-SA 4.0"),
    (["MIT", None], "50 of 100 rows state no licence, and the others do"),
    ([None, None], "no row that was looked at states a licence in its meta: clean inputs.0 (texts.jsonl)"),
])  # fmt: skip
def test_licences(checked, project, licences, words):
    rows = [{"text": text, "metadata": {"license": licences[i % 2]}} for i, text in enumerate(sentences(120))]
    (project / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = checked("clean")
    assert found.code == 0
    assert words in found.err
    assert found.err.count("warning: ") == 1


def test_names_that_only_look_like_restrictions_are_none(checked, project):
    rows = [{"text": text, "license": name} for text, name in zip(sentences(4), ("MIT", "Ncurses", "BSD", "Sandia"),
                                                                  strict=True)]  # fmt: skip
    (project / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert checked("clean").err == ""


def test_nothing_to_validate_on_is_a_warning(checked):
    found = checked("clean", "tokenize", "-s", "validation_fraction=0", "pretrain")
    assert (found.code, found.problems) == (0, [])
    assert "build/tokens has no validation split: nothing will say how the model does on new text" in found.err
    assert "-s tokenize.validation_fraction=0.02" in found.err


def test_two_tokenizers_for_one_training(checked, project):
    (project / "more.yaml").write_text(SCHEMA.format("tokenize") + "inputs: [texts.jsonl]\n")
    words = [
        "clean",
        "tokenize",
        "more",
        "-o",
        "build/more",
        "pretrain",
        "--data",
        "build/tokens",
        "--data",
        "build/more",
    ]
    found = checked(*words)
    assert found.code == 3
    assert found.problems == ["pretrain: data.1: build/more and build/tokens have different tokenizers"]
    assert "-> -s more.tokenizer=build/tokens takes the tokenizer of the first for more" in found.err
    assert checked(*words, "-s", "more.tokenizer=build/tokens").problems == []


def test_a_new_tokenizer_for_a_model_that_is_there(checked, chain):
    found = checked("clean", "tokenize", "pretrain", "-s", f"model={{path: {chain.base}}}")
    assert found.code == 3
    assert found.problems == [
        "pretrain: model.path: build/tokens get a new tokenizer, and the model was trained with another"
    ]
    same = checked(
        "clean", "tokenize", "-s", f"tokenizer={chain.base}", "pretrain", "-s", f"model={{path: {chain.base}}}"
    )
    assert (same.code, same.problems) == (0, [])
    assert same.of["pretrain", "vocabulary", "model.path"] == "the tokens are of the model's own tokenizer"


def test_tokens_that_are_there_of_another_tokenizer(checked, project, chain, little_tokenizer):
    other = little_tokenizer(project / "other")
    shutil.copy(chain.base / "config.json", other)
    found = checked("pretrain", "--data", str(chain.tokens), "-s", f"model={{path: {other}}}")
    assert found.code == 3
    assert found.problems == [
        f"pretrain: model.path: the model was trained with another tokenizer than the one in {chain.tokens}"
    ]


def test_what_is_there_already_is_read(checked, chain):
    found = checked(
        "pretrain", "--data", str(chain.tokens), "-o", "base", "finetune", "--data", str(chain.pairs), "--model", "base"
    )
    assert (found.code, found.problems) == (0, [])
    assert found.of["pretrain", "links", "data.0"] == f"{chain.tokens}: tokens, there already"
    assert found.of["pretrain", "vocabulary", "model"] == "400 tokens, 400 rows in the embedding"
    assert "messages" in found.of["finetune", "rows", "objective"]
    wrong = checked("pretrain", "--data", str(chain.pairs))
    assert wrong.code == 3
    assert f"{chain.pairs} holds examples, not tokens" in wrong.problems[0]


def test_shipped_recipes_leave_inputs_to_the_command_line(cli, project):
    outcome = cli(
        "preflight",
        "-r",
        "english",
        "-i",
        "texts.jsonl",
        "-r",
        "english-bpe-16k",
        "-r",
        "llama-7m",
        "-o",
        "base",
        "--json",
    )
    assert outcome.code == 0, outcome.err
    runs = {run["run"]: (run["stage"], run["output"]) for run in outcome.json["runs"]}
    assert runs["english"] == ("clean", None)
    assert runs["english-bpe-16k"] == ("tokenize", "build/tokens")
    alone = cli("preflight", "-r", "english", "--json")
    assert alone.code == 0
    assert "not known before the command line gives inputs" in alone.out


def test_a_later_run_does_not_write_what_an_earlier_one_reads(checked):
    found = checked("tokenize", "clean", "-o", "build/corpus")
    assert found.code == 2
    assert found.problems == ["tokenize: inputs.0: build/corpus is written by clean, which comes after tokenize"]


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "error: which recipes? none is given"),
    (["clean.yaml"], "llmkit preflight -r clean.yaml"),
    (["-o", "x", "-r", "clean.yaml"], "--output x stands before the recipe that it is for"),
    (["-r", "claen.yaml"], "no such recipe file: claen.yaml; did you mean 'clean.yaml'?"),
    (["-r", "odd.yaml"], "odd.yaml: nothing says which stage it is of"),
    (["-r", "clean.yaml", "--imput", "x"], "unknown option '--imput'; did you mean '--input'?"),
    (["-r", "clean.yaml", "-s", "pretrain.seed=1"], "--set pretrain.seed=1: no run is called 'pretrain'"),
    (["-r", "clean.yaml", "-r", "pairs.yaml", "-s", "tokenize.workers=1"],
     "no run is called 'tokenize'; the runs: clean"),
])  # fmt: skip
def test_what_cannot_be_read(cli, project, arguments, words):
    (project / "odd.yaml").write_text("model: x\n")
    outcome = cli("preflight", *arguments)
    assert outcome.code == 2
    assert words in outcome.err


def test_a_stage_may_be_named_or_found_by_the_fields(cli, project):
    (project / "odd.yaml").write_text("model: x\n")
    (project / "mine.yaml").write_text("inputs: [texts.jsonl]\nsteps: [normalize]\n")
    outcome = cli("preflight", "-r", "mine.yaml", "-r", "export=odd.yaml", "--model", "here", "--json")
    assert [run["stage"] for run in outcome.json["runs"]] == ["clean", "export"]
    assert outcome.code == 3
    assert "no such directory: here" in outcome.err


def test_words_up_to_the_next_recipe_are_its_own():
    assert split_groups(["--json", "-r", "a", "-i", "x", "-rb", "--recipe=c", "-s", "k=v"]) == (
        ["--json"], [("a", ["-i", "x"]), ("b", []), ("c", ["-s", "k=v"])]
    )  # fmt: skip


def test_a_chain_without_a_training_loads_no_torch(project):
    code = (
        "import sys; from llmkit.cli.main import run; "
        "code = run(['preflight', '-r', 'clean.yaml', '-r', 'tokenize.yaml']); sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_quickstart_is_right_before_anything_is_built(tmp_path):
    makefile = shipped_recipes() / "quickstart/Makefile"
    command = [
        "make",
        "-f",
        makefile,
        f"RECIPES={makefile.parent}",
        f"LLMKIT={sys.executable} -m llmkit",
        "check-chain",
    ]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "preflight: 10 runs, 0 problems, 1 warning" in done.stdout
    assert not any(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize("word", ["lint", "check", "validate"])
def test_words_of_others(cli, word):
    outcome = cli(word)
    assert outcome.code == 2
    assert "here it is 'preflight'" in outcome.err


def test_an_exporter_that_cannot_write_the_architecture(checked, monkeypatch):
    monkeypatch.setattr(
        "llmkit.exporters.safetensors.Safetensors.supports", lambda *_: "it has no rotary embeddings of this kind"
    )
    found = checked(*ALL)
    assert found.code == 2
    assert found.problems == [
        "export: exporter: safetensors cannot write a llama: it has no rotary embeddings of this kind"
    ]


def test_a_stage_without_a_recipe_is_given_by_its_options(checked):
    given = ["clean", "tokenize", "pretrain", "-r", "predict=", "--model", "build/base", "-i", "texts.jsonl"]
    found = checked(*given, "-s", "answer=vector")
    assert (found.code, found.problems) == (0, [])
    assert found.of["predict", "links", "model"] == "build/base: a model, by pretrain"
    assert found.of["predict", "links", "inputs.0"] == "texts.jsonl: 1 file"


@pytest.mark.parametrize(("more", "disk"), [
    ([], "535.0 kB at most"),  # 33,440 weights of 4 bytes, and in the one checkpoint again with 8 of the optimizer
    (["--lora"], "278.5 kB at most"),  # the same of 17,408
])  # fmt: skip
def test_what_an_adapter_takes_is_counted(checked, chain, more, disk):
    found = checked("finetune", "--data", str(chain.pairs), "--model", str(chain.base), *more, "-o", "tuned")
    assert found.code == 0, found.err
    assert found.of["finetune", "disk", ""].startswith(disk)
    assert found.of["finetune", "memory", ""].endswith("; 33,440 parameters")


def test_raw_rows_are_what_the_objective_takes_them_for(checked, project, chain):
    rows = [{"text": text, "label": "good" if i % 2 else "bad"} for i, text in enumerate(sentences(8))]
    (project / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["finetune", "--data", "labels.jsonl", "--model", str(chain.base), "-s", "objective=classification"]
    found = checked(*given, "-o", "judge", "-r", "predict=", "--model", "judge", "-i", "labels.jsonl")
    assert (found.code, found.problems) == (0, [])
    rows = "classification reads rows that are text_label (text, label: class)"
    assert found.of["finetune", "rows", "objective"] == rows
    assert found.of["predict", "answers", "model"] == "sequence_classification predicts"


def test_a_model_behind_an_address_is_not_looked_for(checked, chain):
    task = f"tasks=[{{type: answers, data: {chain.pairs}}}]"
    given = ["-r", "eval=", "--model", "http://127.0.0.1:9/v1", "-s", task]
    assert checked(*given).problems == []
    there = checked(*given, "-s", f"runtime={{type: openai, tokenizer: {chain.base}}}")
    assert there.of["eval", "links", "runtime.tokenizer"] == f"{chain.base}: a model, there already"
    (problem,) = checked(*given, "-s", "runtime={type: openai, tokenizer: nowhere}").problems
    assert "eval: runtime.tokenizer: no such directory: nowhere" in problem


def test_an_output_that_another_config_has_finished(checked, cli):
    made = cli("clean", "-i", "texts.jsonl", "-s", "steps=[normalize, exact_duplicates]", "-o", "build/corpus")
    assert made.code == 0, made.err
    assert checked("clean", "-o", "build/corpus").of["clean", "finished", ""] == (
        "build/corpus is finished, by a run of this config"
    )
    other = checked("clean", "-o", "build/corpus", "-s", "steps=[normalize]")
    assert other.code == 0
    said = other.of["clean", "finished", ""]
    assert said.startswith("build/corpus is finished, from another run: steps.1")
    assert said.endswith(" there, not set now; this one stops there, or replaces it by --force")


def test_a_larger_budget_of_a_finished_training_is_no_other_run(checked, chain, model_options, training_options):
    given = ["-r", "pretrain=", "--data", str(chain.tokens), *model_options, *training_options]
    said = checked(*given, "--max-steps", "9", "-o", str(chain.base)).of["pretrain", "finished", ""]
    assert said.startswith(f"{chain.base} is finished, by a run of this config")
    said = checked(*given, "--max-steps", "9", "-s", "optimizer.lr=0.5", "-o", str(chain.base)).of[
        "pretrain", "finished", ""
    ]
    assert "is finished, from another run: " in said
    assert "optimizer.lr: " in said

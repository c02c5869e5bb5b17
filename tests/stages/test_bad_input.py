"""What a user can get wrong: each mistake has its exit code, words that name it, and no traceback."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STAGES = ("clean", "tokenize", "pretrain", "finetune", "eval", "export", "predict", "generate", "index")
FIRST_FIELD = {
    "clean": "inputs", "tokenize": "inputs", "pretrain": "data", "finetune": "data", "eval": "tasks", "export": "model",
    "predict": "inputs", "generate": "inputs", "index": "inputs",
}  # fmt: skip


@pytest.fixture
def fails(cli, tmp_path):
    """Run a command that must fail; check that it says why in words and leaves no artifact, and return what it said."""

    def run(code, *arguments, out="out"):
        outcome = cli(*arguments, "-o", out)
        assert outcome.code == code, outcome.err
        assert "Traceback" not in outcome.err
        assert outcome.err.splitlines()
        assert "error: " in outcome.err
        assert outcome.out == ""
        assert not (tmp_path / out / "llmkit.json").exists()
        return outcome.err

    return run


def examples(cli, path):
    """Clean a file of conversations to `pairs`."""
    source = f"inputs=[{{type: files, path: {path}, messages_field: messages}}]"
    assert cli("clean", "-s", source, "-o", "pairs", "-s", "steps=[]").code == 0


# --- recipes and options


@pytest.mark.parametrize("stage", STAGES)
def test_unknown_recipe_key(fails, tmp_path, stage):
    field = FIRST_FIELD[stage]
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"# mistyped\n{field}x: [a]\n", encoding="utf-8")
    said = fails(2, stage, "-r", recipe)
    assert f"{field}x: unknown field; did you mean '{field}'? ({recipe}:2)" in said
    assert f"-> llmkit schema {stage} --fields" in said


@pytest.mark.parametrize(("stage", "setting", "words"), [
    ("clean", "steps=[{type: length, min_chars: many}]",
     "steps.0.min_chars: should be a valid integer, not 'many' (--set)"),
    ("clean", "workers=0", "workers: should be greater than or equal to 1, not 0 (--set)"),
    ("tokenize", "test_fraction=most", "test_fraction: should be a valid number, not 'most' (--set)"),
    ("tokenize", "test_fraction=0.95", "validation_fraction and test_fraction leave nothing to train on"),
    ("pretrain", "optimizer.lr=fast", "optimizer.lr: should be a valid number, not 'fast' (--set)"),
    ("pretrain", "batch_tokens=100", "batch_tokens 100 is not a multiple of context_length 64"),
    ("finetune", "seed=1.5", "seed: should be a valid integer"),
    ("eval", "tasks.0.limit=0", "tasks.0.limit: should be greater than or equal to 1, not 0 (--set)"),
    ("eval", "tasks=[]", "tasks: should have at least 1 item, not 0 (--set)"),
    ("eval", "tasks=[{type: harness, task: ''}]", "tasks.0.task: should have at least 1 character (--set)"),
    ("eval", "tasks.0.name=../x", r"tasks.0.name: should match ^\w[\w.-]*$, not '../x' (--set)"),
    ("eval", "tasks=[{type: 3}]", "tasks.0: 'type' is a name, not 3; valid: answers, classification, "),
    ("eval", "tasks=[{type: passkey, limit: 3}]",
     "tasks.0.limit: unknown field; 'limit' stands beside 'tasks', not in it (--set)"),
    ("export", "exporter.dtype=int3", "exporter.dtype: should be 'float32', 'bfloat16' or 'float16', not 'int3'"),
])  # fmt: skip
def test_wrong_type_or_value(fails, stage_commands, stage, setting, words):
    assert words in fails(2, *stage_commands[stage], "-s", setting)


@pytest.mark.parametrize(("stage", "setting", "words"), [
    ("clean", "steps.1=lenght", "steps.1: unknown step 'lenght'; did you mean 'length'? (--set)"),
    ("clean", "steps=[{type: length, min_chrs: 2}]", "steps.0.min_chrs: unknown field; did you mean 'min_chars'?"),
    ("tokenize", "tokenizer.type=bpee", "tokenizer.type: unknown tokenizer 'bpee'; did you mean 'bpe'? (--set)"),
    ("pretrain", "objective=causal", "objective: unknown objective 'causal'; did you mean 'causal_lm'? (--set)"),
    ("pretrain", "model.arch=lama", "model.arch: architecture 'lama' is unknown to transformers; did you mean 'llama'"),
    ("pretrain", "model.config.hiden_size=3", "model.config.hiden_size: not a setting of llama; did you mean 'hidden"),
    ("finetune", "objective={type: sfd}", "objective.type: unknown objective 'sfd'; did you mean 'sft'? (--set)"),
    ("finetune", "adapter={type: lora, last: 2}", "adapter.last: unknown field; it is one of another type of adapter"),
    ("eval", "tasks.0.type=answer", "tasks.0.type: unknown task 'answer'; did you mean 'answers'? (--set)"),
    ("eval", "tasks.0.promt=chat", "tasks.0.promt: unknown field; did you mean 'prompt'? (--set)"),
    ("eval", "tasks=[{type: generation, data: x, metrics: [ruge]}]", "unknown metric 'ruge'; did you mean 'rouge'?"),
    ("export", "exporter=safetensor", "exporter: unknown exporter 'safetensor'; did you mean 'safetensors'? (--set)"),
])  # fmt: skip
def test_unknown_part(fails, stage_commands, stage, setting, words):
    assert words in fails(2, *stage_commands[stage], "-s", setting)


def test_unknown_source(fails):
    said = fails(2, "clean", "-s", "inputs=[{type: file, path: x}]")
    assert "inputs.0.type: unknown source 'file'; did you mean 'files'? (--set)" in said


@pytest.mark.parametrize("stage", STAGES)
def test_required_field_not_given(fails, stage):
    assert f"{FIRST_FIELD[stage]}: required, but not given" in fails(2, stage)


def test_output_not_given(cli, stage_commands):
    for stage, command in stage_commands.items():
        outcome = cli(*command)
        assert outcome.code == 2
        assert f"error: --output is required: where should {stage} write?" in outcome.err
        assert f"-> llmkit {stage} ... -o build/{stage}" in outcome.err


@pytest.mark.parametrize(("size", "words"), [
    ("many", "Invalid value for '--vocab-size'"),
    ("100", "tokenizer.vocab_size: should be greater than 256, not 100 (--vocab-size)"),
    ("258", "vocab_size 258 has no room for 256 bytes and 4 specials"),
])  # fmt: skip
def test_wrong_vocabulary_size(fails, chain, size, words):
    assert words in fails(2, "tokenize", "-i", chain.corpus, "--vocab-size", size)


@pytest.mark.parametrize(("recipe", "words"), [
    ("r.yml", "no such recipe file: r.yml"),
    ("englisk", "no recipe 'englisk' for clean; did you mean 'english'?"),
])  # fmt: skip
def test_missing_recipe(fails, recipe, words):
    said = fails(2, "clean", "-r", recipe)
    assert words in said
    assert "-> llmkit recipes list" in said


@pytest.mark.parametrize(("content", "words"), [
    (b"inputs: [a\n", "r.yaml"),
    (b"- a\n", "r.yaml: a recipe is a mapping of fields, not a list"),
    (b"inputs: [caf\xe9]\n", "r.yaml: not UTF-8 text (byte 12)"),
])  # fmt: skip
def test_unreadable_recipe(fails, tmp_path, content, words):
    (tmp_path / "r.yaml").write_bytes(content)
    assert words in fails(2, "clean", "-r", "r.yaml")


def test_set_without_a_value_and_a_wrong_resume(fails, stage_commands):
    assert "--set seed: expected KEY=VALUE" in fails(2, "pretrain", "-s", "seed")
    assert "--resume perhaps: should be auto, never or the directory of a checkpoint" in fails(
        2, *stage_commands["pretrain"], "--resume", "perhaps"
    )


# --- --json


@pytest.mark.parametrize(("arguments", "code", "kind"), [
    (["clean", "--bogus"], 2, "usage"),
    (["claen"], 2, "usage"),
    (["clean", "--workers", "none"], 2, "usage"),
    (["clean", "-i", "x.jsonl", "-o", "out", "-s", "stepz=1"], 2, "config"),
    (["clean", "-i", "x.jsonl", "-o", "out"], 3, "data"),
    (["lineage", "nowhere"], 3, "data"),
])  # fmt: skip
def test_json_is_one_object_also_on_failure(cli, arguments, code, kind):
    outcome = cli(*arguments, "--json")
    assert outcome.code == code
    found = outcome.json  # json.loads refuses a second object
    assert (found["status"], found["kind"], found["exit_code"]) == ("error", kind, code)
    assert found["message"] in outcome.err
    assert set(found) == {"status", "kind", "exit_code", "message", "hint"}


def test_json_of_a_bug_is_one_object_beside_the_traceback(cli, jsonl, monkeypatch):
    def broken(*_, **__):
        raise KeyError("surprise")

    monkeypatch.setattr("llmkit.stages.clean.clean_inputs", broken)
    outcome = cli("clean", "-i", jsonl("a.jsonl", ["a"]), "-o", "out", "--json")
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert outcome.json == {"status": "error", "kind": "bug", "exit_code": 1, "message": "KeyError: 'surprise'"}


# --- inputs that are missing, empty or of another kind


@pytest.mark.parametrize(("stage", "changed"), [
    ("clean", ["-i", "txets.jsonl"]),
    ("tokenize", ["-i", "corpsu"]),
    ("tokenize", ["--tokenizer", "bsae"]),
    ("pretrain", ["--data", "tokenz"]),
    ("finetune", ["--data", "pars"]),
    ("finetune", ["--model", "bsae"]),
    ("eval", ["--model", "modl"]),
    ("eval", ["--baseline", "bsae"]),
    ("eval", ["-s", "tasks.0.data=pars"]),
    ("export", ["--model", "modl"]),
    ("predict", ["--model", "modl"]),
    ("predict", ["-i", "txets.jsonl"]),
])  # fmt: skip
def test_missing_file(fails, stage_commands, chain, monkeypatch, tmp_path, stage, changed):
    monkeypatch.chdir(chain.root)
    command = list(stage_commands[stage])
    if changed[0] in ("-i", "--data"):  # repeatable: replace, do not add
        position = command.index(changed[0])
        del command[position : position + 2]
    if changed[0] == "--tokenizer":  # it has its own size
        position = command.index("--vocab-size")
        del command[position : position + 2]
    said = fails(3, *command, *changed, out=tmp_path / "out")
    name = changed[1].rpartition("=")[2]
    nearest = {"txets.jsonl": "texts.jsonl", "corpsu": "corpus", "bsae": "base", "tokenz": "tokens"}
    right = {**nearest, "pars": "pairs", "modl": "model"}[name]
    assert "no such " in said
    assert name in said
    assert f"; did you mean '{right}'?" in said


def test_missing_model_to_go_on_with(fails, chain, training_options):
    arguments = ["--data", chain.tokens, "--model", chain.root / "bsae", *training_options, "--max-steps", 1]
    assert "bsae; did you mean 'base'?" in fails(3, "pretrain", *arguments)


@pytest.mark.parametrize(("stage", "option", "given", "words"), [
    ("tokenize", "-i", "tokens", "inputs: {path} holds tokens, not a corpus"),
    ("pretrain", "--data", "corpus", "data: {path} holds a corpus, not tokens"),
    ("finetune", "--data", "corpus", "data: {path} holds a corpus, not examples"),
    ("finetune", "--model", "tokens", "model: {path} holds tokens, not a model or an export"),
    ("eval", "--model", "pairs", "model: {path} holds examples, not a model or an export"),
    ("export", "--model", "corpus", "model: {path} holds a corpus, not a model"),
    ("predict", "--model", "corpus", "model: {path} holds a corpus, not a model"),
    ("predict", "-i", "tokens", "cannot read {path}: it holds tokens, not a corpus or examples"),
])  # fmt: skip
def test_artifact_of_another_kind(fails, stage_commands, chain, stage, option, given, words):
    command, path = list(stage_commands[stage]), getattr(chain, given)
    command[command.index(option) + 1] = path
    assert words.format(path=path) in fails(3, *command)


def test_directory_without_a_model(fails, stage_commands, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("hello", encoding="utf-8")
    assert "'mine' is not a model directory: it holds no config.json" in fails(
        3, *stage_commands["export"], "--model", "mine"
    )
    assert "'mine' is not a model directory: it holds no config.json" in fails(
        3, *stage_commands["eval"], "--model", "mine", out="out2"
    )


@pytest.mark.parametrize(("rows", "words"), [
    ([], "no documents left: the input has no rows"),
    ([" ", ""], "no documents left: all 2 rows fell (length.min_chars 2)"),
    ([{"txt": "a"}], "no documents left: all 1 rows fell (unreadable 1)"),
])  # fmt: skip
def test_empty_corpus(fails, jsonl, rows, words):
    assert words in fails(3, "clean", "-i", jsonl("a.jsonl", rows))


def test_directory_without_readable_files(fails, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.pdf").write_bytes(b"%PDF")
    said = fails(3, "clean", "-i", "in")
    assert "no files to read in in" in said
    assert "suffixes that are read: .arrow, .csv" in said
    assert "cannot read in/a.pdf: unknown file type '.pdf'" in fails(3, "clean", "-i", "in/a.pdf")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.txt.gz"])
def test_empty_file(fails, tmp_path, name):
    (tmp_path / name).touch()
    for stage in ("clean", "tokenize"):
        said = fails(3, stage, "-i", name)
        assert f"error: no documents left: the input has no rows: {tmp_path / name} is empty" in said
        assert "text-field" not in said
    (tmp_path / "head.csv").write_text("text,n\n", encoding="utf-8")
    said = fails(3, "clean", "-i", "head.csv")
    assert "no documents left: the input has no rows" in said
    assert f"head {tmp_path / 'head.csv'} shows what is there" in said


@pytest.mark.parametrize("stage", ["clean", "tokenize"])
def test_missing_relative_path_names_the_recipe_and_the_folder(fails, tmp_path, stage):
    (tmp_path / "a.yaml").write_text("\ninputs: [raw/a.jsonl]\n", encoding="utf-8")
    said = fails(3, stage, "-r", "a.yaml")
    where = f"it was looked for in {tmp_path})"
    assert f"no such file or directory: raw/a.jsonl (a.yaml:2 names it, and {where}" in said
    assert f"no such file or directory: raw/a.jsonl ({where}" in fails(3, stage, "-i", "raw/a.jsonl")
    assert f"no files match raw/*.jsonl ({where}" in fails(3, stage, "-i", "raw/*.jsonl")
    assert "looked for" not in fails(3, stage, "-i", tmp_path / "raw/a.jsonl")


def test_unfinished_and_damaged_inputs(fails, cli, jsonl, tmp_path):
    cli("clean", "-i", jsonl("a.jsonl", ["a", "b"]), "-o", "corpus")
    (tmp_path / "half/.partial").mkdir(parents=True)
    said = fails(3, "tokenize", "-i", "half")
    assert "/half is unfinished" in said
    assert "run the command that writes it again" in said
    Path("corpus/data-00000.parquet").write_bytes(b"")
    said = fails(3, "tokenize", "-i", "corpus")
    assert "corpus is damaged: data-00000.parquet is missing or has another size" in said
    assert "/corpus --verify" in said


def test_not_utf8(fails, cli, tmp_path):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    said = fails(3, "clean", "-i", "latin.txt")
    assert f"{tmp_path / 'latin.txt'}: row 1: invalid UTF-8 at byte 3" in said
    for name in ("good.txt", "more.txt"):
        (tmp_path / name).write_text(f"café {name}", encoding="utf-8")
    outcome = cli("clean", "-i", "latin.txt", "-i", "good.txt", "-i", "more.txt", "-o", "both")
    assert outcome.code == 0
    assert "documents  2 kept of 3" in outcome.out
    assert "invalid UTF-8 at byte 3" in outcome.err
    report = json.loads(Path("both/report.json").read_text(encoding="utf-8"))
    assert report["files"][str(tmp_path / "latin.txt")] == {"rows": 1, "kept": 0, "rejected": 0, "failed": 1}


def test_a_broken_line_is_counted_wherever_it_stands(cli, jsonl):
    path = jsonl("a.jsonl", [f"text {i}" for i in range(20)])
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[0], lines[9], lines[19] = '{"text"', "\x00", '{"text": "cut off'
    path.write_text("\n".join(lines), encoding="utf-8")
    outcome = cli("clean", "-i", path, "-o", "out", "--json")
    assert outcome.code == 0
    metrics = outcome.json["metrics"]
    assert (metrics["documents_kept"], metrics["documents_failed"]) == (17, 3)
    for line in (1, 10, 20):
        assert f"warning: {path}:{line}: invalid JSON" in outcome.err


@pytest.mark.parametrize("stage", ["clean", "tokenize"])
def test_half_of_the_rows_unreadable_is_an_error_if_nothing_else_is_said(fails, cli, jsonl, stage):
    path = jsonl("a.jsonl", [f"text {i}" for i in range(10)])
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines + ["{"] * 9), encoding="utf-8")
    options = ["-s", "tokenizer.vocab_size=300", "-s", "validation_fraction=0"] if stage == "tokenize" else []
    assert cli(stage, "-i", path, "-o", "nine", *options).code == 0
    path.write_text("\n".join(lines + ["{"] * 10), encoding="utf-8")
    said = fails(3, stage, "-i", path, *options)
    assert "10 of 20 rows unreadable (50.0%), and at 0.5 a run fails" in said
    assert "--max-failed 0.51 lets it pass" in said
    assert f"{path}:11: invalid JSON" in said
    assert cli(stage, "-i", path, "-o", "ten", "--max-failed", 0.51, *options).code == 0
    path.write_text("\n".join(lines * 10 + ["{"]), encoding="utf-8")
    assert "1 of 101 rows unreadable (1.0%)" in fails(3, stage, "-i", path, "--max-failed", 0.005, *options)
    assert "1 of 101 rows unreadable (1.0%)" in fails(3, stage, "-i", path, "--max-failed", 0, *options)
    assert cli(stage, "-i", path, "-o", "one", "--max-failed", 0.01, *options).code == 0


def test_a_finished_corpus_with_more_unreadable_rows_than_are_allowed_now(cli, jsonl):
    path = jsonl("a.jsonl", [f"text {i}" for i in range(10)])
    path.write_text(path.read_text(encoding="utf-8") + "{", encoding="utf-8")
    assert cli("clean", "-i", path, "-o", "out").code == 0
    outcome = cli("clean", "-i", path, "-o", "out", "--max-failed", 0.05)
    assert outcome.code == 3
    assert "out was made with 1 of 11 rows unreadable (9.1%)" in outcome.err


# --- tokenizer and model that disagree


@pytest.fixture
def mismatched(cli, chain, tmp_path):
    """A model of 400 tokens with a tokenizer of 500, which `tokens` was made with."""
    cli("tokenize", "-i", chain.corpus, "--vocab-size", 500, "-s", "validation_fraction=0", "-o", "tokens")
    shutil.copytree(chain.base, tmp_path / "mixed", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "tokens" / name, tmp_path / "mixed" / name)
    return "mixed"


@pytest.mark.parametrize("stage", ["finetune", "eval", "export"])
def test_tokenizer_larger_than_the_model(fails, stage_commands, mismatched, stage):
    said = fails(3, *stage_commands[stage], "--model", mismatched)
    assert "the tokenizer in 'mixed' has 500 ids, but the model in 'mixed' has only 400 embedding rows" in said
    assert "use the tokenizer the model was trained with" in said


def test_tokens_of_another_tokenizer_than_the_models(fails, cli, chain, mismatched, training_options):
    arguments = ["--model", chain.base, *training_options, "--max-steps", 1]
    said = fails(3, "pretrain", "--data", "tokens", *arguments)
    assert "model.path: the model was trained with another tokenizer than the one in tokens" in said
    cli("tokenize", "-i", chain.corpus, "--vocab-size", 300, "-s", "validation_fraction=0", "-o", "small")
    said = fails(3, "pretrain", "--data", "small", *arguments, out="out2")
    assert "model.path: the model was trained with another tokenizer than the one in small" in said
    assert "tokenize with `--tokenizer` naming the model's directory" in said


def test_tokens_of_two_tokenizers(fails, stage_commands, mismatched):
    assert "were made with different tokenizers" in fails(3, *stage_commands["pretrain"], "--data", "tokens")


def test_tokenizer_changed_after_its_tokens_were_made(fails, cli, chain, tmp_path, stage_commands):
    shutil.copytree(chain.tokens, tmp_path / "tokens")
    path = tmp_path / "tokens/tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[10:12]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content), encoding="utf-8")
    command = list(stage_commands["pretrain"])
    command[command.index("--data") + 1] = "tokens"
    said = fails(3, *command)
    assert "data: tokens is damaged: tokenizer.json" in said or "was changed after its tokens were made" in said


def test_a_vocabulary_too_small_for_the_tokenizer(fails, stage_commands):
    said = fails(2, *stage_commands["pretrain"], "-s", "model.config.vocab_size=100")
    assert "model.config.vocab_size: 100 is too small: the tokenizer has 400 ids" in said


# --- outputs


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_output_that_is_someones_own_directory(fails, stage_commands, tmp_path, stage, force):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/thesis.tex").write_text("precious", encoding="utf-8")
    said = fails(2, *stage_commands[stage], *force, out="own")
    assert "--output own is not an llmkit artifact and not empty (it holds 'thesis.tex')" in said
    assert "--force does not touch it either" in said
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_output_that_is_a_file(fails, stage_commands, tmp_path, stage, force):
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    assert "--output file is a file" in fails(2, *stage_commands[stage], *force, out="file")
    assert "a part of this path is a file" in fails(2, *stage_commands[stage], *force, out="file/deeper")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "precious"


OTHER_CONFIG = {
    "clean": ("steps.1.min_chars=2", "steps.1.min_chars: 1 there, 2 now"),
    "tokenize": ("test_fraction=0.2", "test_fraction: 0.1 there, 0.2 now"),
    "pretrain": ("optimizer.lr=0.01", "optimizer.lr: 0.001 there, 0.01 now"),
    "finetune": ("seed=5", "seed: 0 there, 5 now"),
    "eval": ("tasks.0.limit=4", "tasks.0.limit: 8 there, 4 now"),
    "export": ("parity_prompts=2", "parity_prompts: 1 there, 2 now"),
    "predict": ("max_tokens=20", "max_tokens: None there, 20 now"),
    "generate": ("max_new_tokens=9", "max_new_tokens: 8 there, 9 now"),
    "index": ("max_words=50", "max_words: 200 there, 50 now"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_output_of_another_config(cli, stage_commands, reload_here, stage):
    setting, difference = OTHER_CONFIG[stage]
    assert cli(*stage_commands[stage], "-o", "out").code == 0
    before = Path("out/llmkit.json").read_bytes()
    outcome = cli(*stage_commands[stage], "-s", setting, "-o", "out")
    assert outcome.code == 2
    assert f"error: out is finished, from another run: {difference}" in outcome.err
    assert "-> choose another --output, or add --force to replace it" in outcome.err
    assert Path("out/llmkit.json").read_bytes() == before
    assert cli(*stage_commands[stage], "-s", setting, "-o", "out", "--force").code == 0
    assert Path("out/llmkit.json").read_bytes() != before


def test_output_of_another_stage(cli, stage_commands):
    assert cli(*stage_commands["clean"], "-o", "out").code == 0
    outcome = cli(*stage_commands["tokenize"], "-o", "out")
    assert outcome.code == 2
    assert "error: out is finished, from another run: stage: clean there, tokenize now\n" in outcome.err


def test_a_mistake_does_not_stand_in_the_way_of_the_corrected_command(fails, cli, jsonl, stage_commands, tmp_path):
    wrong_and_right = [
        ([*stage_commands["pretrain"], "-s", "model.arch=lama"], stage_commands["pretrain"], 2),
        (["clean", "-i", jsonl("empty.jsonl", [])], ["clean", "-i", jsonl("full.jsonl", ["a"])], 3),
        (["tokenize", "-i", "in", "--tokenizer", "in"], stage_commands["tokenize"], 3),
    ]
    cli("clean", "-i", jsonl("full.jsonl", ["a"]), "-o", "in")
    for number, (wrong, right, code) in enumerate(wrong_and_right):
        fails(code, *wrong, out=f"out{number}")
        assert not list((tmp_path / f"out{number}").glob("*"))
        assert cli(*right, "-o", f"out{number}").code == 0


def test_a_mistake_costs_no_checkpoint(cli, stage_commands, monkeypatch):
    from llmkit.core.errors import DataError

    def fail(*_, **__):
        raise DataError("found late")

    with monkeypatch.context() as patch:
        patch.setattr("llmkit.training.finish.save_model", fail)
        assert cli(*stage_commands["pretrain"], "-o", "out").code == 3
    outcome = cli(*stage_commands["pretrain"], "-o", "out")
    assert outcome.code == 0
    assert "resumed at step 8 of 8" in outcome.err


# --- a missing extra


def test_missing_extra(fails, cli, jsonl, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed, whether it is or not
    said = fails(4, "clean", "-i", jsonl("a.jsonl", ["a"]), "-s", "engine=ray")
    assert "this needs the 'ray' extra, which is not installed" in said
    assert '-> pip install "llmkit[ray]"' in said


# --- output that nobody reads


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m llmkit schema pretrain | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


def test_an_output_that_holds_an_input_is_refused_even_with_force(cli, chain, tmp_path):
    shutil.copytree(chain.corpus, tmp_path / "corpus")
    before = sorted(path.name for path in (tmp_path / "corpus").iterdir())
    outcome = cli("tokenize", "-i", "corpus", "-o", "corpus", "--vocab-size", 300, "--force")
    assert outcome.code == 2
    assert "--output corpus holds the input" in outcome.err
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == before


def test_a_partial_folder_of_someone_else_is_not_ours(cli, jsonl, tmp_path):
    path = jsonl("a.jsonl", ["a text"])
    (tmp_path / "mine" / ".partial").mkdir(parents=True)
    precious = tmp_path / "mine" / ".partial" / "p.txt"
    precious.write_text("precious", encoding="utf-8")
    outcome = cli("clean", "-i", path, "-o", "mine", "--force")
    assert outcome.code == 2
    assert "is not an llmkit artifact and not empty (it holds '.partial/p.txt')" in outcome.err
    assert precious.read_text(encoding="utf-8") == "precious"


# --- names and values that no file can hold


@pytest.mark.parametrize("command", [
    ["clean", "-i", "n" * 300], ["clean", "-r", "n" * 300], ["tokenize", "-i", "n" * 300],
    ["finetune", "--data", "n" * 300, "--model", "m"], ["export", "--model", "n" * 300],
])  # fmt: skip
def test_names_that_are_too_long(fails, command):
    said = fails(2, *command)
    assert re.search(f"error: a name is too long for this file system: .*{'n' * 20}", said)


@pytest.mark.parametrize(("recipe", "words"), [
    ('inputs: [a.jsonl]\nsteps:\n  - {type: word_list, words: ["\\ud800"]}\n',
     r"'steps.0.words.0': '\ud800' is not UTF-8 text ({recipe}:3)"),
    ('inputs: [a.jsonl]\n"\\udfff": 1\n', r"'\udfff': 1 is not UTF-8 text ({recipe}:2)"),
])  # fmt: skip
def test_halves_of_characters_in_a_recipe(fails, tmp_path, recipe, words):
    path = tmp_path / "r.yaml"
    path.write_text(recipe, encoding="utf-8")
    assert words.format(recipe=path) in fails(2, "clean", "-r", path)


def test_options_that_are_not_utf_8(fails, jsonl):
    path = jsonl("a.jsonl", ["a text"])
    assert r"'inputs.0': 'caf\udce9' is not UTF-8 text (--input)" in fails(2, "clean", "-i", "caf\udce9")
    assert re.search(r"--output '.*/out\\udce9' is not UTF-8", fails(2, "clean", "-i", path, out="out\udce9"))

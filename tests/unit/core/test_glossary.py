"""Words of other tools: the table that says what they are here holds, and nothing that destroys is suggested."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from typer.main import get_command

from llmkit.cli.main import app
from llmkit.cli.unknown import unknown_command, unknown_option
from llmkit.core.fields import field_paths
from llmkit.core.glossary import NEVER, bare, field_of, instead, near
from llmkit.core.glossary_words import COMMANDS, PARTS, TERMS
from llmkit.core.registry import PACKAGES, Family
from llmkit.stages import STAGES, load_stage

ALL = get_command(app).commands
FIELDS = {stage: field_paths(load_stage(stage).config) for stage in STAGES}
OPTIONS = {
    name: {o for param in command.params for o in param.opts if o.startswith("--")} for name, command in ALL.items()
}


def said(command: str, typed: str, *arguments: str) -> tuple[str, str]:
    context = SimpleNamespace(command_path=f"llmkit {command}", info_name=command)
    error = unknown_option(ALL[command], context, typed, arguments or (typed,))
    return error.message.removeprefix(f"unknown option '{typed}'"), error.hint


def test_every_command_of_the_table_is_there():
    assert {name for _, here, _ in COMMANDS for name in here.split()} <= {*ALL}
    typed = [bare(word) for words, _, _ in COMMANDS for word in words.split()]
    assert not {*typed} & {*ALL}, "a word that is a command now is no longer one of other tools"
    assert len({*typed}) == len(typed)


def test_every_option_and_field_of_the_table_is_there():
    there = set().union(*FIELDS.values(), *OPTIONS.values())
    assert {name.partition("=")[0] for _, here, _ in TERMS for name in here.split()} <= there
    for words, here, note in TERMS:
        assert here or note
        assert not (here and {*here.split()} & NEVER)
        if not here:  # "not there yet" has to go when it comes
            names = {bare(path.rpartition(".")[2]) for path in there}
            assert not {bare(word) for word in words.split()} & names, words


@pytest.mark.parametrize("value", [name for _, here, _ in TERMS for name in here.split() if "=" in name])
def test_a_value_of_the_table_is_one_of_its_field(value):
    path, _, text = value.partition("=")
    needed = {"data": ["x"], "model": "x"}
    config = load_stage("finetune").resolve(sets=[value], absent=needed).config
    for key in path.split("."):
        config = getattr(config, key)
    assert str(config).lower() == text


def test_every_part_of_the_table_is_there_and_every_other_is_not():
    assert PARTS.keys() <= PACKAGES.keys()
    for family, rows in PARTS.items():
        members = Family(family).members()
        for words, here, note in rows:
            assert {*here.split()} <= {*members}
            assert here or note
            assert not {*words.split()} & {*members}, family
    with pytest.raises(LookupError, match="unknown objective 'dpo'; training on preferences and rewards is not there"):
        Family("row_objective").load("dpo")
    with pytest.raises(LookupError, match="unknown exporter 'hf'; did you mean 'safetensors'"):
        Family("exporter").load("hf")
    with pytest.raises(LookupError, match=r"unknown metric 'chrF[+][+]'; here it is 'chrf': with word_order=2"):
        Family("metric").load("chrF++")


@pytest.mark.parametrize(
    ("command", "typed", "words", "hint"),
    [
        ("finetune", ["--lora-r", "8"], "; here it is adapter.r", "llmkit finetune ... --set adapter.r=8"),
        ("finetune", ["--format", "x"], "", "llmkit finetune --help"),
        ("export", ["--export_format", "x"], "; here it is exporter", "llmkit export ... --set exporter=x"),
        ("finetune", ["--num-epochs", "3"], "; here it is max_epochs", "llmkit finetune ... --set max_epochs=3"),
        ("pretrain", ["--num_train_epochs=3"], "; here it is max_epochs", "llmkit pretrain ... --set max_epochs=3"),
        ("finetune", ["--base-lr", "3e-4"], "; here it is optimizer.lr", "llmkit finetune ... --set optimizer.lr=3e-4"),
        ("finetune", ["--batch-size", "8"], "; here it is batch_tokens: in tokens, not rows: rows times their length",
         "llmkit finetune ... --set batch_tokens=..."),
        ("finetune", ["--bf16"], "; here it is precision", "llmkit finetune ... --set precision=bf16"),
        ("clean", ["--output_dir", "a b"], "; here it is --output", "llmkit clean ... --output 'a b'"),
        ("finetune", ["--model_name_or_path", "m"], "; here it is --model", "llmkit finetune ... --model m"),
        ("clean", ["--dataset", "d"], "; here it is --input", "llmkit clean ... --input d"),
        ("pretrain", ["--context-length", "64"], "; here it is context_length",
         "llmkit pretrain ... --set context_length=64"),
        ("pretrain", ["--max_steps"], "; did you mean '--max-steps'?", "llmkit pretrain --help"),
        ("pretrain", ["--contxt-length"], "; did you mean '--set context_length=...'?", "llmkit pretrain --help"),
        ("finetune", ["--overwrite_output_dir"], "; a finished output of another config is replaced only where that is"
         " said outright", "llmkit finetune --help"),
        ("clean", ["--froce"], "", "llmkit clean --help"),
        ("doctor", ["--lr"], "", "llmkit doctor --help"),
        ("serve", ["--half-cache"], "; here it is --cache-type: float16, the default, or float32",
         "llmkit serve ... --cache-type ..."),
    ],
)  # fmt: skip
def test_options_of_other_tools(command, typed, words, hint):
    assert said(command, typed[0].partition("=")[0], *typed) == (words, hint)


def slips(name: str) -> set[str]:
    """Letters left out, exchanged with the next, typed twice."""
    cut = [(name[:i], name[i:]) for i in range(2, len(name))]
    made = {a + b[1:] for a, b in cut} | {a + b[1:2] + b[:1] + b[2:] for a, b in cut} | {a + b[:1] + b for a, b in cut}
    return made - {name}


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_nothing_that_destroys_is_ever_suggested(command):
    for option in OPTIONS[command]:
        for typed in slips(option) - OPTIONS[command]:
            assert not any(name.strip("-") in " ".join(said(command, typed)) for name in NEVER if name != typed), typed
    assert not any(near(typed, ["--force"]) for typed in (*slips("--force"), "--force"))
    assert all("--max-steps" in said("finetune", typed)[0] for typed in slips("--max-steps"))


def test_commands_of_other_tools():
    def of(name: str) -> str:
        return unknown_command(SimpleNamespace(command_path="llmkit"), name, ALL).message

    assert of("sft") == "unknown command 'sft'; did you mean 'finetune'?"
    assert of("evaluate") == "unknown command 'evaluate'; did you mean 'eval'?"
    assert of("tokenise") == "unknown command 'tokenise'; did you mean 'tokenize'?"
    assert of("preprocess").startswith("unknown command 'preprocess'; here it is 'clean' or 'tokenize': raw text to a")
    assert of("rag") == "unknown command 'rag'; here it is 'index' or 'search': passages are indexed once, and searched"
    assert of("api") == "unknown command 'api'; did you mean 'serve'?"
    assert of("xyz") == "unknown command 'xyz'"


def test_fields_of_other_tools(tmp_path):
    recipe = tmp_path / "r.yaml"
    lines = {
        "learning_rate: 1": "learning_rate: unknown field; did you mean 'optimizer.lr'?",
        "optimizer: {learning_rate: 1}": "optimizer.learning_rate: unknown field; did you mean 'lr'?",
        "weight_decay: 1": "weight_decay: unknown field; did you mean 'optimizer.weight_decay'?",
        "min_lr_ratio: 1": "min_lr_ratio: unknown field; did you mean 'schedule.min_lr_ratio'?",
        "warmup_ratio: 1": "warmup_ratio: unknown field; here it is 'schedule.warmup_steps': in steps, not a share",
        "bf16: true": "bf16: unknown field; did you mean 'precision: bf16'?",
        "save_steps: 1": "save_steps: unknown field; here it is 'checkpoint.every': in steps",
        "lora_alpha: 8": "lora_alpha: unknown field; did you mean 'adapter.alpha'?",
        "use_lora: true": "use_lora: unknown field; here it is 'adapter': lora is one of its kinds",
        "model_name_or_path: x": "model_name_or_path: unknown field; did you mean 'model'?",
        "output_dir: x": "output_dir: unknown field; it is an option, not a field: --output",
        "max_setps: 1": "max_setps: unknown field; did you mean 'max_steps'?",
    }
    for line, words in lines.items():
        recipe.write_text(f"data: [x]\nmodel: y\n{line}\n")
        with pytest.raises(Exception, match="unknown field") as caught:
            load_stage("finetune").resolve(recipe=recipe)
        assert caught.value.message.startswith(words), line


def test_fields_are_found_wherever_they_stand():
    assert field_of("warmup-tokens", FIELDS["pretrain"]) == "schedule.warmup_tokens"
    assert field_of("every", FIELDS["pretrain"]) is None, "of two places neither"
    assert field_of("dtype", FIELDS["export"]) == "exporter.dtype"
    assert instead("term", "nothing_of_the_kind", ()) == ""

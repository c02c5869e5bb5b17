"""What finetune finds out of rows and says before the first step, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmkit.core.manifest import read_manifest
from llmkit.data.split import split_of
from texts import sentences

TEXTS = sentences(48, seed=7)
CLASSES = [{"text": text, "label": ["bad", "good"][i % 2]} for i, text in enumerate(TEXTS)]
LABELS = ["-s", "objective=classification"]
TAGS = ["-s", "objective=token_classification"]
LONG = "An old man told us about the sea. " * 8


def talk(*said):
    roles = ("user", "assistant") * len(said)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]}


TALKS = [talk(f"What is {i}?", f"It is {i}.") for i in range(40)]


@pytest.fixture
def finetune(cli, chain, jsonl):
    """Train the base model for a step on rows of a raw file."""

    def run(rows, *more):
        sizes = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "batch_rows=8", "-s", "precision=float32"]
        return cli("finetune", "--data", jsonl("rows.jsonl", rows), "--model", chain.base, *sizes, "--max-steps", 1,
                   "-o", "out", *more)  # fmt: skip

    return run


def metrics():
    return read_manifest(Path("out")).metrics


CALL = {"type": "function", "function": {"name": "f", "arguments": "{not json"}}


@pytest.mark.parametrize(("rows", "says", "hint"), [
    ([{"messages": [*talk("a")["messages"], {"role": "assistant", "content": None, "tool_calls": [CALL]}]}] * 3,
     "rows.jsonl has the columns of messages: no row of the sample can be read:"
     " messages.1.tool_calls.0.function.arguments is no JSON", "mend the rows, or name others"),
    ([talk("a", "")] * 3, "field 'messages' has no message of the assistant that is not empty (row 1)",
     "mend the rows"),
    ([*TALKS[:2], {"prompt": "a", "completion": "b"}],
     "rows.jsonl holds rows of several kinds; of the first 3: 2 messages", "put them into files of their own"),
    ([{"txt": "a"}] * 3, "no kind fits the columns txt", "name them: -s columns.FIELD=COLUMN"),
])  # fmt: skip
def test_rows_that_are_none_are_refused_with_what_helps(finetune, rows, says, hint):
    outcome = finetune(rows)
    assert outcome.code == 2
    assert says in outcome.err
    assert hint in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_data_without_a_row_are_refused(finetune):
    outcome = finetune([])
    assert outcome.code == 3
    assert "rows.jsonl can be read" in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_many_long_rows_are_an_error_that_has_the_line_to_type(finetune):
    rows = [*CLASSES, {"text": LONG, "label": "bad"}]
    outcome = finetune(rows, *LABELS)
    assert outcome.code == 3
    assert "data: 1 of 49 rows (2.0%) are longer than context_length 64: " in outcome.err
    assert "the model has 64 positions: -s overlength=truncate|drop" in outcome.err
    outcome = finetune(rows, *LABELS, "-s", "context_length=32", "-s", "overlength=error")
    assert "-s context_length=" in outcome.err or "the model has 64 positions" in outcome.err
    assert not Path("out/llmkit.json").exists()


@pytest.mark.parametrize("mode", ["truncate", "drop"])
def test_long_rows_are_cut_or_dropped_where_that_is_said(finetune, mode):
    outcome = finetune([*CLASSES, {"text": LONG, "label": "bad"}], *LABELS, "-s", f"overlength={mode}",
                       "-s", "validation_fraction=0")  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = metrics()
    if mode == "truncate":
        assert (found["rows"], found["truncated"]) == (49, 1)
        assert "1 rows are longer than context_length 64 and were cut" in outcome.err
    else:
        assert (found["rows"], found["truncated"], found["left_out_long"]) == (48, 0, 1)
        assert "1 rows were left out: more tokens than context_length 64" in outcome.err


def test_few_long_rows_are_cut_and_said(finetune):
    few = [talk(LONG, "No.", "And?", "Yes."), *(talk(f"What is {i}?", f"It is {i}.") for i in range(120))]
    outcome = finetune(few, "-s", "validation_fraction=0")
    assert outcome.code == 0, outcome.err
    assert "1 rows are longer than context_length 64 and were cut" in outcome.err
    assert (metrics()["rows"], metrics()["truncated"]) == (121, 1)


def test_conversations_are_split_between_exchanges(finetune):
    rows = [talk(*(f"{word} {i}" for i in range(12) for word in ("How about", "Well, it is"))), *TALKS]
    outcome = finetune(rows, "-s", "overlength=split", "-s", "validation_fraction=0")
    assert outcome.code == 0, outcome.err
    assert "1 rows are longer than context_length 64 and were split" in outcome.err
    assert metrics()["examples"] > metrics()["rows"] == 41
    assert f"41 rows become {metrics()['examples']} examples: some are split" in outcome.err
    assert "left_out_long" not in metrics()
    outcome = finetune(rows, "-s", "overlength=truncate", "-s", "validation_fraction=0", "--force")
    assert (metrics()["rows"], metrics()["truncated"]) == (41, 1)


def test_tags_are_split_between_words_and_labels_are_not_split(finetune):
    words = LONG.split()
    rows = [{"words": text.split(), "tags": [["O", "B-X"][i % 2]] * len(text.split())} for i, text in enumerate(TEXTS)]
    rows.append({"words": words, "tags": ["O"] * len(words)})
    outcome = finetune(rows, *TAGS, "-s", "overlength=split", "-s", "validation_fraction=0")
    assert outcome.code == 0, outcome.err
    assert metrics()["targets"] == sum(len(row["words"]) for row in rows)
    outcome = finetune(CLASSES, *LABELS, "-s", "overlength=split")
    assert outcome.code == 2
    assert "overlength: classification cannot split a row; truncate and drop are left" in outcome.err


def test_what_is_learned_is_said(finetune):
    outcome = finetune(TALKS)
    assert outcome.code == 0, outcome.err
    assert "assistant tokens: " in outcome.err
    assert " a row (median), " in outcome.err
    found = metrics()
    assert 0 < found["target_share"] < 1
    assert (found["duplicates"], found["conflicting"], found["open_ends"]) == (0, 0, 0)
    assert "validation_fraction" not in outcome.err


def test_copies_and_contradictions_are_counted(finetune):
    rows = [*CLASSES, CLASSES[0], {**CLASSES[1], "label": "bad"}]
    outcome = finetune(rows, *LABELS, "-s", "validation_fraction=0")
    assert outcome.code == 0, outcome.err
    assert "1 of 50 rows are copies of others; the step exact_duplicates" in outcome.err
    assert "2 of 50 rows have the text of others, and other labels" in outcome.err
    outcome = finetune([*TALKS, talk("What is 3?", "No idea.")], "-s", "validation_fraction=0", "--force")
    assert "2 of 41 rows ask what others ask, and have another answer" in outcome.err
    assert metrics()["conflicting"] == 2


def test_empty_answers_are_named(finetune):
    outcome = finetune([*TALKS, talk("Silent?", "")], "-s", "validation_fraction=0")
    assert outcome.code == 0, outcome.err
    assert "rows.jsonl:41: " in outcome.err
    assert metrics()["rows"] == 40


def test_a_fraction_that_leaves_nothing_to_validate_on_is_said(finetune):
    fraction = 1e-9
    assert all(split_of(text, validation_fraction=fraction, test_fraction=0) == "train" for text in TEXTS)
    outcome = finetune(CLASSES, *LABELS, "-s", f"validation_fraction={fraction}")
    assert outcome.code == 0, outcome.err
    assert "validation_fraction 1e-09 leaves none of 48 rows to validate on" in outcome.err


def test_rows_to_validate_on_may_be_data_of_their_own(finetune, jsonl):
    held = jsonl("held.jsonl", [CLASSES[3], {**CLASSES[4], "text": f"  {CLASSES[4]['text'].upper()} "}, *[
        {"text": text, "label": ["bad", "good"][i % 2]} for i, text in enumerate(sentences(10, seed=70))]])  # fmt: skip
    outcome = finetune(CLASSES, *LABELS, "-s", f"validation_data=[{held}]")
    assert outcome.code == 0, outcome.err
    assert "validation_data.0: rows are text_label (text, label: class)" in outcome.err
    assert "2 of 12 validation rows stand in the training data, too" in outcome.err
    found = metrics()
    assert (found["rows"], found["validation_rows"], found["validation_rows_in_training"]) == (48, 12, 2)
    assert {item.role for item in read_manifest(Path("out")).inputs} == {"data", "validation_data", "model"}
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert any(text[:40] in report for text in sentences(10, seed=70))  # the rows that are shown are these


def test_validation_data_of_another_kind_is_refused(finetune, jsonl):
    outcome = finetune(CLASSES, *LABELS, "-s", f"validation_data=[{jsonl('held.jsonl', TALKS)}]")
    assert outcome.code == 2
    assert "messages" in outcome.err


def test_a_model_that_learned_nothing_does_not_stop_and_the_card_says_what_it_was_trained_on(finetune):
    outcome = finetune(TALKS, "-s", "validation_fraction=0.2")
    assert outcome.code == 0, outcome.err
    stops = metrics()["stops"]
    assert 0 <= stops["ended"] <= stops["prompts"] <= 8
    assert ("the model has not learned to stop" in outcome.err) == (stops["ended"] < stops["prompts"] / 2)
    card = Path("out/README.md").read_text(encoding="utf-8")
    for line in ("| data | rows.jsonl |", "| objective | sft, on rows of messages |",
                 "| chat template | chatml: the model had none |", "answers end by themselves, within"):  # fmt: skip
        assert line in card


def test_named_options_are_fields(finetune, cli, chain):
    outcome = finetune(TALKS, "--lr", "3e-4", "--epochs", 2, "--dry-run", "--json")
    config, origins = outcome.json["config"], outcome.json["origins"]
    assert (config["optimizer"]["lr"], config["max_epochs"]) == (3e-4, 2)
    assert config["optimizer"]["weight_decay"] == 0.01
    assert (origins["optimizer.lr"], origins["max_epochs"]) == ("--lr", "--epochs")
    plan = ["plan", "finetune", "--model", chain.base, "-s", "context_length=64", "--json"]
    planned = cli(*plan, "--lora").json
    assert planned["trained"] < cli(*plan).json["trained"]
    assert cli("plan", "pretrain", "--lora", "-s", "model=llama-1m").code == 2


def test_a_name_on_the_hub_is_its_cached_snapshot(finetune, cli, chain, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = "a" * 40
    place = tmp_path / "cache/models--org--name"
    shutil.copytree(chain.base, place / "snapshots" / commit, ignore=shutil.ignore_patterns("llmkit.json", "check*"))
    (place / "refs").mkdir()
    (place / "refs/main").write_text(commit)
    outcome = finetune(TALKS, "--model", "org/name", "--lora")
    assert outcome.code == 0, outcome.err
    model = next(item for item in read_manifest(Path("out")).inputs if item.role == "model")
    assert model.path == str(place / "snapshots" / commit)
    assert metrics()["base"]["path"] == "org/name"
    from llmkit.modeling.load import load_model

    load_model("out")
    outcome = finetune(TALKS, "--model", "org/other")
    assert outcome.code == 3
    assert "hf download org/other, then the same command" in outcome.err

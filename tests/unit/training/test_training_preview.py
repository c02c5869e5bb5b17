"""finetune --preview: rows as the model sees them, with what is learned marked, and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.data.artifacts import Examples


def talk(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


ROWS = [
    talk("Hi", "It is 3."),
    talk("fake <|im_end|>", "x"),
    {"messages": [*talk("Hi", "It is 3.")["messages"], *talk("And?", "渡船")["messages"]]},
    talk("Never", "seen"),
]
HEAD, TURN = "<|endoftext|><|im_start|>user\n", "\n<|im_start|>assistant\n"


@pytest.fixture
def preview(cli, chain, tmp_path):
    """Run `finetune --preview` on rows, with the base model's tokenizer and a context of 64."""

    def run(rows, *more, count=3):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return cli("finetune", "--data", path, "--model", chain.base, *more, "--preview", count)

    return run


def test_the_first_rows_are_shown_as_the_model_sees_them(preview, tmp_path):
    outcome = preview(ROWS)
    assert outcome.code == 0, outcome.err
    assert outcome.out == (
        "user: Hi\nassistant: It is 3.\n"
        f"model: {HEAD}Hi<|im_end|>{TURN}[[It is 3.<|im_end|>]]\n\n\n"
        "user: fake <|im_end|>\nassistant: x\n"
        "left out: a message holds a special token literally\n\n"
        "user: Hi\nassistant: It is 3.\nuser: And?\nassistant: 渡船\n"
        f"model: {HEAD}Hi<|im_end|>{TURN}[[It is 3.<|im_end|>]]\n"
        f"<|im_start|>user\nAnd?<|im_end|>{TURN}[[渡船<|im_end|>]]\n\n\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_programs_get_the_pieces(preview, chain):
    found = preview(ROWS, "--json", count=2).json
    assert (found["status"], found["exit_code"], found["objective"]) == (
        "preview", 0, {"type": "sft", "train_on": "assistant"},
    )  # fmt: skip
    first, second = found["rows"]
    targets = first.pop("targets")
    assert first == {
        "row": ROWS[0],
        "cut": False,
        "seen": {
            "input_ids": [[f"{HEAD}Hi<|im_end|>{TURN}", ""], ["It is 3.<|im_end|>", "learned"], ["\n", ""]],
        },
    }
    from transformers import AutoTokenizer

    assert targets == len(AutoTokenizer.from_pretrained(chain.base)("It is 3.<|im_end|>")["input_ids"])
    assert second == {
        "row": ROWS[1],
        "left_out": "a message holds a special token literally",
    }


def test_what_is_too_long_is_shown_cut(preview):
    (row,) = preview([talk("Hi", "!?" * 200)], "--json", count=1).json["rows"]
    (before, _), (said, mark) = row["seen"]["input_ids"]
    assert (before, mark, row["cut"]) == (f"{HEAD}Hi<|im_end|>{TURN}", "learned", True)
    assert said == ("!?" * 200)[: len(said)]
    (left,) = preview([talk("!?" * 200, "never reached")], "--json", count=1).json["rows"]
    assert left["left_out"] == "no assistant tokens within context_length"


def test_fewer_rows_than_asked_for_and_examples_of_clean(preview, cli, chain):
    assert len(preview(ROWS[:1], "--json").json["rows"]) == 1
    outcome = cli("finetune", "--data", chain.pairs, "--model", chain.base, "--preview", 3, "--json")
    kept = list(Examples(chain.pairs).rows(["messages"]))[:3]
    assert [row["row"] for row in outcome.json["rows"]] == kept


def test_rows_that_nothing_can_be_learned_from_are_refused(preview):
    outcome = preview([{"messages": []}])
    assert outcome.code == 2
    assert "messages: no row of the sample can be read: field 'messages' has no message of the assistant" in outcome.err
    assert not Path("out").exists()

"""finetune --preview: rows as the model sees them, with what is learned marked, and nothing written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llmkit.data.artifacts import Examples
from llmkit.training.preview import coloured, visible


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
    sizes = [line for line in outcome.out.splitlines() if line.startswith("tokens: ")]
    assert re.fullmatch(r"tokens: \d+, \d of them learned \(\d+\.\d%\)", sizes[0])
    assert outcome.out == (
        "user: Hi\nassistant: It is 3.\n"
        f"model: {HEAD}Hi<|im_end|>{TURN}[[It is 3.<|im_end|>]]\n\n{sizes[0]}\n\n"
        "user: fake <|im_end|>\nassistant: x\n"
        "left out: a message holds a special token literally\n\n"
        "user: Hi\nassistant: It is 3.\nuser: And?\nassistant: 渡船\n"
        f"model: {HEAD}Hi<|im_end|>{TURN}[[It is 3.<|im_end|>]]\n"
        f"<|im_start|>user\nAnd?<|im_end|>{TURN}[[渡船<|im_end|>]]\n\n{sizes[1]}\n\n"
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
    talks = {"messages": [*talk("Long ago " * 20, "It is 1.")["messages"], *talk("Hi", "It is 3.")["messages"]]}
    (row,) = preview([talks], "--json", count=1).json["rows"]
    (before, _), (said, mark), _ = row["seen"]["input_ids"]
    assert (before, said, mark, row["cut"]) == (f"{HEAD}Hi<|im_end|>{TURN}", "It is 3.<|im_end|>", "learned", True)
    (split,) = preview([talks], "-s", "overlength=split", "--json", count=1).json["rows"]
    assert (split["seen"], split["cut"]) == (row["seen"], False)  # the first exchange is too long by itself
    (left,) = preview([talk("!?" * 200, "never reached")], "--json", count=1).json["rows"]
    assert left["left_out"] == "an answer that does not fit into context_length 64 with its question"


def test_ids_are_shown_to_who_asks_for_them(preview, chain):
    from transformers import AutoTokenizer

    outcome = preview(ROWS, "-v", count=1)
    ids = next(line for line in outcome.out.splitlines() if line.startswith("ids: ")).split()[1:]
    shown = AutoTokenizer.from_pretrained(chain.base).decode(list(map(int, ids)))
    assert shown == f"{HEAD}Hi<|im_end|>{TURN}It is 3.<|im_end|>\n"


def test_a_terminal_sees_white_space_and_special_tokens_in_colour(chain, capsys):
    from rich.console import Console as Screen
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chain.base)
    screen = Screen(force_terminal=True, color_system="truecolor", width=60, no_color=False, _environ={})
    text = coloured([("<|im_start|>a\n", ""), (" b\t<|im_end|>", "learned"), ("\n", "")], tokenizer)
    assert text.plain == "<|im_start|>a↵\n·b→\t<|im_end|>↵\n"
    spans = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert spans["<|im_start|>"] == "bold"
    assert spans["·b→\t"] == "#14171c on #bdebc9"
    assert spans["<|im_end|>"] == "#14171c on #bdebc9 bold"
    with screen.capture() as seen:
        screen.print(text)
    assert "48;2;189;235;201" in seen.get()  # the colour behind what is learned


@pytest.mark.parametrize(("text", "shown"), [
    ("a b", "a b"), ("a  b", "a ·b"), (" a", "·a"), ("a \nb", "a·↵\nb"), ("a\n b", "a↵\n·b"), ("\t\r", "→\t␍"),
])  # fmt: skip
def test_white_space_that_could_be_overlooked_is_seen(text, shown):
    assert visible(text) == shown


def test_fewer_rows_than_asked_for_and_examples_of_clean(preview, cli, chain):
    assert len(preview(ROWS[:1], "--json").json["rows"]) == 1
    outcome = cli("finetune", "--data", chain.pairs, "--model", chain.base, "--preview", 3, "--json")
    kept = list(Examples(chain.pairs).rows(["messages"]))[:3]
    assert [row["row"] for row in outcome.json["rows"]] == kept


def test_rows_that_cannot_be_read_are_named_as_training_names_them(preview):
    outcome = preview([ROWS[0], {"messages": []}, *[{"other": 1}] * 5, ROWS[3]])
    assert outcome.code == 0, outcome.err
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert warnings[0].endswith("rows.jsonl:2: field 'messages' has no message of the assistant")
    assert len(warnings) == 6
    assert warnings[5] == "warning: and 1 more unreadable rows"
    assert "assistant: seen" in outcome.out, "three rows are shown, where there are so many"


def test_rows_that_nothing_can_be_learned_from_are_refused(preview):
    outcome = preview([{"messages": []}])
    assert outcome.code == 2
    assert "messages: no row of the sample can be read: field 'messages' has no message of the assistant" in outcome.err
    assert not Path("out").exists()

from __future__ import annotations

import json

import numpy as np
import pytest

from llmkit.data.packing import IGNORED
from llmkit.objectives.rows.sft import SFT
from tiny import byte_tokenizer

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello, 你好!"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "So long."},
]


def test_targets_of_two_turns_by_hand():
    tokenizer = byte_tokenizer()
    pieces = [  # every piece, and whether the assistant says it
        (
            "<|bos|><|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
            False,
        ),
        ("Hello, 你好!<|im_end|>", True),
        ("\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n", False),
        ("So long.<|im_end|>", True),
        ("\n", False),
    ]
    expected, said = [], []
    for text, spoken in pieces:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        expected += ids
        said += [spoken] * len(ids)
    ids, labels = SFT().encode({"messages": TALK}, tokenizer)
    assert ids.tolist() == expected
    # labels[t] is the target of ids[t]: the "\n" before "Hello" predicts "H", the "!" predicts the end of the turn.
    following = [*expected[1:], IGNORED]
    assert labels.tolist() == [
        target if spoken else IGNORED for target, spoken in zip(following, [*said[1:], False], strict=True)
    ]
    targets = labels[labels != IGNORED]
    assert tokenizer.decode(targets) == "Hello, 你好!<|im_end|>So long.<|im_end|>"
    assert len(targets) == len("Hello, 你好!".encode()) + 1 + len("So long.") + 1
    assert labels[-1] == IGNORED
    assert (ids == tokenizer.bos_token_id).sum() == 1


def test_nothing_said_is_nothing_learned():
    _, labels = SFT().encode({"messages": TALK[:2]}, byte_tokenizer())
    assert (labels == IGNORED).all()
    assert labels.dtype == np.int64


@pytest.fixture
def pairs(cli, tmp_path):
    """Make an examples artifact of these conversations."""

    def make(conversations):
        lines = [json.dumps({"messages": messages}) + "\n" for messages in conversations]
        (tmp_path / "pairs.jsonl").write_text("".join(lines))
        source = "inputs=[{type: files, path: pairs.jsonl, messages_field: messages}]"
        assert cli("clean", "-s", source, "-s", "steps=[]", "-o", "pairs", "-q").code == 0
        return "pairs"

    return make


def exchange(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def finetune(cli, chain, data, *more):
    return cli(
        "finetune", "--data", data, "--model", chain.base, "--max-steps", 1, "-s", "context_length=64",
        "-s", "batch_tokens=256", "-s", "precision=float32", "-s", "validation_fraction=0",
        "-o", "tuned", "--json", *more,
    )  # fmt: skip


def test_rows_that_cannot_be_used_whole_are_counted_and_told(cli, chain, pairs):
    conversations = [
        exchange("a", "short"),
        exchange("b", "short too"),
        exchange("c", "!?" * 300),  # cut, with targets left
        exchange("!?" * 300, "never reached"),  # cut before the assistant speaks
        exchange("d", "fake <|im_end|> turn"),
        exchange("what is <|endoftext|>", "a token"),
        [{"role": "assistant", "content": "I only greet."}],  # answers nothing
    ]
    outcome = finetune(cli, chain, pairs(conversations))
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert metrics["rows"] == 3
    assert metrics["truncated"] == 2
    assert metrics["left_out_unsupervised"] == 2
    assert metrics["left_out_literal_special"] == 2
    told = " ".join(outcome.err.split())
    assert "2 rows are longer than context_length and were cut" in told
    assert "2 rows were left out: no assistant tokens within context_length" in told
    assert "2 rows were left out: a message holds a special token literally" in told


def test_no_row_left_is_an_error(cli, chain, pairs):
    outcome = finetune(cli, chain, pairs([exchange("!?" * 300, "x"), exchange("y", "<|pad|>")]))
    assert outcome.code == 3
    assert "no row is left to train on (1 have no assistant tokens" in outcome.json["message"]
    assert "1 hold special tokens" in outcome.json["message"]
    assert "raise context_length" in outcome.json["hint"]

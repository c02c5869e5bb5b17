from __future__ import annotations

import json

import pytest

from llmkit.data.chat import CONVERSATION
from llmkit.data.packing import IGNORED, LeftOut
from llmkit.objectives.rows.sft import SFT
from tiny import byte_tokenizer

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello, 你好!"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "So long."},
]


def encode(tokenizer, *conversations, limit=1000):
    return SFT().encode([{"messages": turns} for turns in conversations], CONVERSATION, tokenizer, limit)


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
    (example,) = encode(tokenizer, TALK)
    ids, labels = example.columns["input_ids"], example.columns["labels"]
    assert ids.tolist() == expected
    # labels[t] is the target of ids[t]: the "\n" before "Hello" predicts "H", the "!" predicts the end of the turn.
    following = [*expected[1:], IGNORED]
    assert labels.tolist() == [
        target if spoken else IGNORED for target, spoken in zip(following, [*said[1:], False], strict=True)
    ]
    targets = labels[labels != IGNORED]
    assert tokenizer.decode(targets) == "Hello, 你好!<|im_end|>So long.<|im_end|>"
    assert len(targets) == len("Hello, 你好!".encode()) + 1 + len("So long.") + 1
    assert example.targets == len(targets)
    assert example.num_bytes == len("Hello, 你好!".encode()) + len("So long.")
    assert not example.cut
    assert labels[-1] == IGNORED
    assert (ids == tokenizer.bos_token_id).sum() == 1


def test_marks_show_what_is_learned_and_an_end_that_no_token_writes():
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
    (example,) = encode(byte_tokenizer(), said)
    assert SFT().marks(example, "input_ids")[-4:] == ["learned", "learned", "learned", ""]  # Y, o, <|im_end|>, \n
    roles = "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
    roles += "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    (example,) = encode(byte_tokenizer(template=roles), said)
    assert SFT().marks(example, "input_ids")[-3:] == ["", "learned", "learned, and the end"]
    (cut,) = encode(byte_tokenizer(), said, limit=example.columns["input_ids"].size + 30)
    assert set(SFT().marks(cut, "input_ids")) == {"", "learned"}


def test_nothing_said_is_nothing_learned():
    (found,) = encode(byte_tokenizer(), TALK[:2])
    assert found == LeftOut("unsupervised", "no assistant tokens")


def test_what_is_too_long_is_never_cut_within_an_answer():
    tokenizer = byte_tokenizer()
    (whole,) = encode(tokenizer, TALK)
    size = whole.columns["input_ids"].size
    # Behind the last target, which is the end of the turn, the template writes "\n"; neither has to be read.
    (fits,) = encode(tokenizer, TALK, limit=size - 2)
    assert fits.columns["input_ids"].tolist() == whole.columns["input_ids"][:-2].tolist()
    assert (fits.targets, fits.num_bytes, fits.cut) == (whole.targets, whole.num_bytes, False)
    assert SFT().marks(fits, "input_ids")[-1] == "learned, and the end"
    (long,) = encode(tokenizer, TALK, limit=size - 3)
    assert (long.code, long.length) == ("long", size)


def test_every_row_has_its_answer_in_order():
    fake = [{"role": "user", "content": "<|im_end|>"}, {"role": "assistant", "content": "x"}]
    tokenizer = byte_tokenizer()
    found = encode(tokenizer, TALK[:3], fake, TALK[:2], TALK)
    assert [getattr(one, "code", None) for one in found] == [None, "literal_special", "unsupervised", None]
    assert found[0].targets == len("Hello, 你好!".encode()) + 1
    assert found[3].columns["labels"].tolist() == encode(tokenizer, TALK)[0].columns["labels"].tolist()


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
        exchange("!?" * 300, "never reached"),  # nothing is left once it is cut: left out
        exchange("d", "fake <|im_end|> turn"),
        exchange("what is <|endoftext|>", "a token"),
        [{"role": "assistant", "content": "I only greet."}],  # answers nothing
    ]
    outcome = finetune(cli, chain, pairs(conversations))
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert metrics["rows"] == 3
    assert metrics["truncated"] == 1
    assert metrics["left_out_unsupervised"] == 2
    assert metrics["left_out_literal_special"] == 2
    told = " ".join(outcome.err.split())
    assert "1 rows are longer than context_length and were cut" in told
    assert "2 rows were left out: no assistant tokens within context_length" in told
    assert "2 rows were left out: a message holds a special token literally" in told


def test_no_row_left_is_an_error(cli, chain, pairs):
    outcome = finetune(cli, chain, pairs([exchange("!?" * 300, "x"), exchange("y", "<|pad|>")]))
    assert outcome.code == 3
    assert "no row is left to train on (1 have no assistant tokens" in outcome.json["message"]
    assert "1 have a message holds a special" in outcome.json["message"]
    assert "raise context_length" in outcome.json["hint"]

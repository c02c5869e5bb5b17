from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.data.chat import CONVERSATION
from llmkit.data.packing import IGNORED, Column, EncodedRows, LeftOut
from llmkit.data.rendering import CHAT_TEMPLATE, render
from llmkit.data.rows import RowError
from llmkit.data.rows.messages import Messages
from llmkit.objectives.rows.sft import SFT
from odd_chats import ROWS
from styles import style
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
        exchange("!?" * 300, "long ago") + exchange("c", "cut before this"),
        exchange("!?" * 300, "never reached"),  # nothing of it may be cut: left out
        exchange("d", "fake <|im_end|> turn"),
        exchange("what is <|endoftext|>", "a token"),
        [{"role": "assistant", "content": "I only greet."}],  # answers nothing
    ]
    outcome = finetune(cli, chain, pairs(conversations), "-s", "overlength=truncate")
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert metrics["rows"] == 3
    assert metrics["truncated"] == 1
    assert (metrics["left_out_long"], metrics["left_out_unsupervised"]) == (1, 1)
    assert metrics["left_out_literal_special"] == 2
    told = " ".join(outcome.err.split())
    assert "1 rows are longer than context_length 64 and were cut" in told
    assert "1 rows were left out: an answer that does not fit into context_length 64 with its question" in told
    assert "1 rows were left out: no assistant tokens" in told
    assert "2 rows were left out: a message holds a special token literally" in told


def test_no_row_left_is_an_error(cli, chain, pairs):
    outcome = finetune(
        cli, chain, pairs([exchange("!?" * 300, "x"), exchange("y", "<|pad|>")]), "-s", "overlength=truncate"
    )
    assert outcome.code == 3
    assert "no row is left to train on (1 have an answer that does not fit" in outcome.json["message"]
    assert "1 have a message holds a special" in outcome.json["message"]
    assert "raise context_length" in outcome.json["hint"]


def learned(example):
    """Return what is learned, as text."""
    labels = example.columns["labels"]
    return byte_tokenizer().decode(labels[labels != IGNORED])


def sft(row, tokenizer=None, limit=1000, **fields):
    kind = Messages(holds="all")
    (found,) = SFT(**fields).encode([kind.parse(row)], kind, tokenizer or byte_tokenizer(), limit)
    return found


def test_the_last_answer_alone_is_learned():
    example = sft({"messages": TALK}, train_on="last")
    whole = sft({"messages": TALK})
    assert learned(example) == "So long.<|im_end|>"
    assert learned(whole) == "Hello, 你好!<|im_end|>So long.<|im_end|>"
    assert example.columns["input_ids"].tolist() == whole.columns["input_ids"].tolist()
    assert (example.targets, example.num_bytes) == (len("So long.") + 1, len("So long."))
    # What follows the last answer is only read.
    assert learned(sft({"messages": TALK[:4]}, train_on="last")) == "Hello, 你好!<|im_end|>"


def test_all_of_a_conversation_is_every_token_behind_bos():
    tokenizer = byte_tokenizer()
    text = render(tokenizer, TALK)
    example = sft({"messages": TALK}, train_on="all")
    ids = example.columns["input_ids"]
    assert tokenizer.decode(ids) == text
    assert example.columns["labels"].tolist() == [*ids[1:], IGNORED]
    assert ids[0] == tokenizer.bos_token_id
    assert learned(example) == text.removeprefix("<|bos|>")
    assert example.num_bytes == sum(len(turn["content"].encode()) for turn in TALK)
    assert sft({"messages": TALK}, train_on="all", limit=len(ids) - 2).code == "long"
    assert sft({"messages": TALK}, train_on="all", limit=len(ids) - 1).targets == example.targets


def test_all_ends_with_eos_where_the_template_ends_no_turn():
    plain = byte_tokenizer(template="{% for m in messages %}{{ m.role[0] + ': ' + m.content + '\n' }}{% endfor %}"
                                    "{% if add_generation_prompt %}{{ 'a: ' }}{% endif %}")  # fmt: skip
    example = sft({"messages": TALK[1:3]}, plain, train_on="all")
    assert learned(example).endswith("a: Hello, 你好!<|eos|>")


def test_answers_of_weight_0_and_empty_ones_are_read_and_not_learned():
    light = [*TALK[:2], {**TALK[2], "weight": 0}, *TALK[3:]]
    example = sft({"messages": light})
    assert learned(example) == "So long.<|im_end|>"
    assert learned(sft({"messages": [*light[:4], {**light[4], "weight": 1}]})) == "So long.<|im_end|>"
    assert "Hello, 你好!<|im_end|>" in byte_tokenizer().decode(example.columns["input_ids"])
    assert not example.notes
    none = sft({"messages": light[:4]})
    assert none == LeftOut("untrained", "no answer that is to be learned: all are empty or have the weight 0")
    assert sft({"messages": [*TALK[:4], {**TALK[4], "weight": 0}]}, train_on="last") == none
    empty = sft({"messages": [*TALK[:2], {**TALK[2], "content": ""}, *TALK[3:]]})
    assert (learned(empty), empty.notes) == ("So long.<|im_end|>", {"empty": 1})


CALLS = (
    "{{ bos_token }}{% if tools %}{{ '<|im_start|>system' }}"
    "{% for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}"
    "{{ m.content if m.content is defined }}{% for call in m.tool_calls or [] %}"
    "{{ '<call>' + call.function.name + ' ' + call.function.arguments | tojson + '</call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SCHEMA = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TOLD = {
    "messages": [
        {"role": "user", "content": "Warm?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "21"},
        {"role": "assistant", "content": "Yes.", "reasoning_content": "21 is warm."},
    ],
    "tools": json.dumps([SCHEMA]),
}  # fmt: skip


def test_calls_are_learned_and_results_are_not():
    tokenizer = byte_tokenizer(template=CALLS)
    example = sft(TOLD, tokenizer)
    assert learned(example) == '<call>weather {"city": "Oslo"}</call><|im_end|><think>21 is warm.</think>Yes.<|im_end|>'
    text = tokenizer.decode(example.columns["input_ids"])
    assert text.startswith(f"<|bos|><|im_start|>system\n{json.dumps(SCHEMA)}<|im_end|>\n<|im_start|>user\nWarm?")
    assert not example.notes


def test_a_template_without_calls_leaves_the_row_out_and_others_are_told_what_it_drops():
    refused = sft(TOLD)
    assert refused.code == "refused"
    assert refused.why.startswith(
        "the chat template refuses a conversation of user, assistant, tool, assistant: it wri"
    )
    words = {"messages": [TOLD["messages"][0], TOLD["messages"][3]], "tools": TOLD["tools"]}
    assert sft(words).notes == {"tools": 1, "reasoning": 1}
    assert not sft({"messages": TALK}).notes


def test_generation_stops_where_calls_end_as_well():
    tokenizer = style("llama3")
    ends = tokenizer.convert_tokens_to_ids(["<|eos|>", "<|eot|>", "<|eom|>"])
    assert SFT().end_ids(tokenizer, EncodedRows.of({"input_ids": Column()}, [])) == ends


def test_control_tokens_in_calls_and_tools_fake_no_turn():
    tokenizer = byte_tokenizer(template=CALLS)
    for place, bad in (("tools", SCHEMA | {"x": "<|im_end|>"}), ("arguments", '{"city": "<|im_start|>"}')):
        row = json.loads(json.dumps(TOLD))
        if place == "tools":
            row["tools"] = [bad]
        else:
            row["messages"][1]["tool_calls"][0]["function"]["arguments"] = bad
        assert sft(row, tokenizer).code == "literal_special"


@pytest.mark.parametrize("rows", [TOLD, {"messages": TALK}, {**TOLD, "messages": TOLD["messages"][:2]}])
def test_templates_get_what_transformers_gives_them(rows):
    shows = (
        "{{ tools | tojson }}{% for m in messages %}{{ m | dictsort | tojson }}{% endfor %}{{ add_generation_prompt }}"
    )
    tokenizer = byte_tokenizer(template=shows + "{# tool_calls #}")
    kind = Messages(holds="all")
    given = json.loads(json.dumps(rows["messages"]))
    for message in given:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    tools = json.loads(rows["tools"]) if "tools" in rows else None
    for prompt in (False, True):
        theirs = tokenizer.apply_chat_template(given, tools=tools, tokenize=False, add_generation_prompt=prompt)
        ours = render(tokenizer, kind.turns(kind.parse(rows)), prompt=prompt)
        assert ours == theirs
    tokenizer.chat_template = CALLS
    theirs = tokenizer.apply_chat_template(given, tools=tools, tokenize=False)
    assert render(tokenizer, kind.turns(kind.parse(rows))) == theirs


@given(ROWS, st.sampled_from(["assistant", "last", "all"]), st.sampled_from([CHAT_TEMPLATE, CALLS]))
@settings(max_examples=200)
def test_any_row_becomes_an_example_or_says_why_not(raw, train_on, template):
    kind, tokenizer = Messages(holds="all"), byte_tokenizer(template=template)
    try:
        row = kind.parse(raw)
    except RowError:
        return
    (found,) = SFT(train_on=train_on).encode([row], kind, tokenizer, 1000)
    if isinstance(found, LeftOut):
        assert found.why
    else:
        assert found.targets == (found.columns["labels"] != IGNORED).sum() > 0

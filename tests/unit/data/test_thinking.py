from __future__ import annotations

import pytest

from llmkit.data.thinking import Said, decode_said, opened, split_thinking
from tiny import byte_tokenizer

R1 = ("<think>", "</think>")


@pytest.mark.parametrize(
    ("text", "begun", "said"),
    [
        ("Paris", None, Said("", "Paris")),
        ("<think>\n\n</think>\n\nParis", None, Said("", "Paris")),
        ("<think>Is it?\n</think>\n\nParis </think>", None, Said("Is it?", "Paris </think>")),
        ("It is <think>.", None, Said("", "It is <think>.")),
        ("<think>Is it", None, Said("Is it", "", ended=False)),
        ("Is it?</think>Paris", R1, Said("Is it?", "Paris")),
        ("Is it", R1, Said("Is it", "", ended=False)),
        ("[THINK]嗯[/THINK]巴黎", None, Said("嗯", "巴黎")),
    ],
)
def test_thinking_is_told_from_the_answer(text, begun, said):
    assert split_thinking(text, begun) == said


def test_a_prompt_that_begins_to_think():
    assert opened("<|assistant|><think>\n") == R1
    assert opened("<think>\n\n</think>\n\n") is None
    assert opened("") is None


def test_marks_that_are_special_tokens_are_seen():
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": ["<think>", "</think>"]})
    ids = tokenizer("<think>Is it?</think>Paris<|im_end|>", add_special_tokens=False)["input_ids"]
    assert decode_said(tokenizer, ids) == Said("Is it?", "Paris")
    assert decode_said(tokenizer, ids[1:], R1) == Said("Is it?", "Paris")

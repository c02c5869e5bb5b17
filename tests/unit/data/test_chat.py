from __future__ import annotations

import pytest

from llmkit.core.errors import DataError
from llmkit.data.rendering import CHAT_TEMPLATE, encode_prompt, ensure_template, render
from tiny import byte_tokenizer

USER, ANSWER = {"role": "user", "content": "Add 1 and 2"}, {"role": "assistant", "content": "It is 3."}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_the_default_template_by_hand():
    tokenizer = byte_tokenizer()
    assert render(tokenizer, [SYSTEM, USER, ANSWER]) == (
        "<|bos|><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAdd 1 and 2<|im_end|>\n"
        "<|im_start|>assistant\nIt is 3.<|im_end|>\n"
    )
    assert render(tokenizer, [USER], prompt=True) == (
        "<|bos|><|im_start|>user\nAdd 1 and 2<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_conversation_that_the_template_refuses_is_named():
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + CHAT_TEMPLATE
    )
    with pytest.raises(DataError, match=r"refuses a conversation of system, user.*: System role not") as error:
        render(byte_tokenizer(template=template), [SYSTEM, USER, ANSWER])
    assert error.value.exit_code == 3
    with pytest.raises(DataError, match="refuses a conversation of user"):
        encode_prompt(byte_tokenizer(template="{{ messages[0].missing.deeper }}"), [USER])


def test_the_default_template_is_given_only_where_it_can_work():
    tokenizer = byte_tokenizer(template=None)
    assert ensure_template(tokenizer) is True
    assert tokenizer.chat_template == CHAT_TEMPLATE
    own = byte_tokenizer(template="{{ messages }}")
    assert ensure_template(own) is False
    assert own.chat_template == "{{ messages }}"


def test_a_tokenizer_without_the_tokens_of_the_default_template_is_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(DataError, match=r"needs <\|im_start\|> and <\|im_end\|>") as error:
        ensure_template(bare)
    assert "llmkit tokenize" in error.value.hint

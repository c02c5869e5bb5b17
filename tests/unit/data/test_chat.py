from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.errors import DataError
from llmkit.data.chat import encode_chats, literal_special
from llmkit.data.rendering import CHAT_TEMPLATE, encode_prompt, ensure_template, render
from llmkit.modeling.templated import templated_encoder
from tiny import byte_tokenizer, runs

USER, ANSWER = {"role": "user", "content": "Add 1 and 2"}, {"role": "assistant", "content": "It is 3."}
SYSTEM, THANKS = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Thanks"}
WELCOME = {"role": "assistant", "content": "You are welcome"}
TALK = [SYSTEM, USER, ANSWER, THANKS, WELCOME]

# The shapes of templates met in the wild; none has {% generation %} tags.
FOREIGN = {
    "llama-2": (
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
        "{% elif m.role == 'system' %}{{ '<<SYS>>' + m.content }}"
        "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
        [" It is 3.<|eos|>", " You are welcome<|eos|>"],
    ),
    "roles by name": (
        "{% for m in messages %}{{ m.role.upper() + ': ' + (m.content | trim) + '\\n\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}",
        ["It is 3.", "You are welcome"],
    ),
    "end of turn and blanks": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + ' ' + m.content + '<|im_end|> \\n ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}",
        ["It is 3.<|im_end|>", "You are welcome<|im_end|>"],
    ),
}


def encode_chat(tokenizer, turns):
    """Encode one conversation, with the tokenizer and with what is faster, which has to find the same."""
    (found,), (sooner,) = (encode_chats(tokenizer, [turns], fast) for fast in (None, templated_encoder(tokenizer)))
    if isinstance(found, DataError):
        assert (found.message, found.hint) == (sooner.message, sooner.hint)
        raise found
    for ours, theirs in zip(sooner, found, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    return found


def spoken(tokenizer, messages):
    ids, mask = encode_chat(tokenizer, messages)
    return [tokenizer.decode(ids[part]) for part in runs(mask)]


def test_the_default_template_by_hand():
    tokenizer = byte_tokenizer()
    text = (
        "<|bos|><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAdd 1 and 2<|im_end|>\n"
        "<|im_start|>assistant\nIt is 3.<|im_end|>\n"
    )
    assert render(tokenizer, [SYSTEM, USER, ANSWER]) == text
    assert render(tokenizer, [USER], prompt=True) == (
        "<|bos|><|im_start|>user\nAdd 1 and 2<|im_end|>\n<|im_start|>assistant\n"
    )
    ids, mask = encode_chat(tokenizer, [SYSTEM, USER, ANSWER])
    assert tokenizer.decode(ids) == text
    assert ids.shape == mask.shape
    assert spoken(tokenizer, [SYSTEM, USER, ANSWER]) == ["It is 3.<|im_end|>"]


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_templates_without_generation_tags(name):
    template, said = FOREIGN[name]
    assert spoken(byte_tokenizer(template=template), TALK) == said


@pytest.mark.parametrize("trim_offsets", [False, True])
def test_blanks_in_an_answer_are_learned(trim_offsets):
    # Pythia's and other tokenizers trim blanks from the offsets of a token: one of blanks only becomes empty.
    tokenizer = byte_tokenizer(trim_offsets=trim_offsets)
    code = "if a:\n    return  b\n\n        # c"
    assert spoken(tokenizer, [USER, {"role": "assistant", "content": code}]) == [code + "<|im_end|>"]


def test_an_opening_greeting_is_context():
    greeting = {"role": "assistant", "content": "Welcome"}
    assert spoken(byte_tokenizer(), [greeting, USER, ANSWER]) == ["It is 3.<|im_end|>"]
    assert spoken(byte_tokenizer(), [greeting]) == []


def test_a_template_that_rewrites_earlier_turns_is_refused():
    # As templates do that show the thinking of the last answer only.
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
        "{{ m.content if loop.last or m.role != 'assistant' else m.content.split('</think>')[-1] }}"
        "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    tokenizer = byte_tokenizer(template=template)
    thinking = {"role": "assistant", "content": "<think>1 + 2</think>It is 3."}
    assert spoken(tokenizer, [USER, thinking]) == ["<think>1 + 2</think>It is 3.<|im_end|>"]
    with pytest.raises(DataError, match="renders a turn differently when more follow") as error:
        encode_chat(tokenizer, [USER, thinking, THANKS, WELCOME])
    assert error.value.exit_code == 3
    assert "writes each turn the same way" in error.value.hint


def test_a_conversation_that_the_template_refuses_is_named():
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + CHAT_TEMPLATE
    )
    with pytest.raises(DataError, match=r"refuses a conversation of system, user.*: System role not") as error:
        encode_chat(byte_tokenizer(template=template), [SYSTEM, USER, ANSWER])
    assert error.value.exit_code == 3
    with pytest.raises(DataError, match="refuses a conversation of user"):
        encode_prompt(byte_tokenizer(template="{{ messages[0].missing.deeper }}"), [USER])


@pytest.mark.parametrize("adds_bos", [False, True])
def test_one_bos_whatever_the_tokenizer_adds(adds_bos):
    tokenizer = byte_tokenizer()
    if adds_bos:
        from tokenizers import processors

        bos = ("<|bos|>", tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", special_tokens=[bos]
        )
        assert tokenizer("x")["input_ids"].count(tokenizer.bos_token_id) == 1
    ids, _ = encode_chat(tokenizer, TALK)
    assert (ids == tokenizer.bos_token_id).sum() == 1
    assert encode_prompt(tokenizer, TALK).count(tokenizer.bos_token_id) == 1


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=5),
    with_system=st.booleans(),
)
def test_what_is_learned_is_what_was_said_and_follows_the_prompt(contents, with_system):
    tokenizer = byte_tokenizer()
    messages = [SYSTEM] * with_system
    messages += [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
    assert literal_special(tokenizer, messages) is None
    assert spoken(tokenizer, messages) == [content + "<|im_end|>" for content in contents[1::2]]
    ids, mask = encode_chat(tokenizer, messages)
    if len(contents) % 2 == 0:
        prompt = encode_prompt(tokenizer, messages[:-1])
        assert ids[: len(prompt)].tolist() == prompt
        assert runs(mask)[-1].start == len(prompt)


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


def test_literal_special_tokens_are_found():
    tokenizer = byte_tokenizer()
    assert literal_special(tokenizer, TALK) is None
    for token in ("<|im_end|>", "<|eos|>", "<|pad|>"):
        assert literal_special(tokenizer, [USER, {"role": "assistant", "content": f"see {token}!"}]) == token

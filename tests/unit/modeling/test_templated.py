from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from llmkit.data.rendering import CHAT_TEMPLATE
from llmkit.data.targets import encode_chats
from llmkit.modeling.fast import FastEncoder
from llmkit.modeling.templated import (
    CHECK_EVERY,
    OtherIdsError,
    TemplatedEncoder,
    templated_encoder,
)
from llmkit.tokenization.trainers._patterns import byte_level

PROSE = "It is 3 o'clock, and all is well.\n\nThe  old clock: 春天来了，花开了。 It is late; é ½\n\n\n" * 20
TEMPLATES = {
    "chatml": CHAT_TEMPLATE,
    "a blank before the answer": (
        "{% for m in messages %}{{ m.role.upper() + ': ' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
    ),
    "an answer ends like the text after it": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n\n' + m.content + '\n\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
    ),
}
CONTENTS = st.lists(
    st.text(st.sampled_from(" \n\tIt s3.'春花é\u0301½!\u00a0"), max_size=14)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    min_size=1, max_size=6,
)  # fmt: skip


def trained(*, pattern="gpt2", trim=False, normalizer=None, template=CHAT_TEMPLATE, added=()):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = byte_level(pattern, "pattern", "pattern")
    backend.normalizer = normalizer
    backend.post_processor = processors.ByteLevel(trim_offsets=trim)
    special = ["<|bos|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([PROSE], trainer)
    backend.add_tokens(list(added))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|im_end|>")
    tokenizer.chat_template = template
    return tokenizer


TOKENIZERS = {
    (name, trim, nfc): trained(trim=trim, normalizer=normalizers.NFC() if nfc else None, template=TEMPLATES[name])
    for name in TEMPLATES
    for trim in (False, True)
    for nfc in (False, True)
}


def conversation(contents):
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


@pytest.mark.parametrize("key", TOKENIZERS, ids=str)
@settings(max_examples=80, deadline=None)
@given(all_contents=st.lists(CONTENTS, min_size=1, max_size=4))
def test_ids_and_marks_are_the_tokenizers(key, all_contents):
    tokenizer = TOKENIZERS[key]
    conversations = list(map(conversation, all_contents))
    for ours, theirs in zip(
        encode_chats(tokenizer, conversations, templated_encoder(tokenizer)),
        encode_chats(tokenizer, conversations),
        strict=True,
    ):
        if isinstance(theirs, Exception):
            assert str(ours) == str(theirs)
            continue
        assert ours.notes == theirs.notes
        for part, same in zip(ours.parts, theirs.parts, strict=True):
            np.testing.assert_array_equal(part.ids, same.ids, strict=True)
            np.testing.assert_array_equal(part.labels, same.labels, strict=True)
            assert part.answers == same.answers


@pytest.mark.parametrize("pattern", ["gpt2", "llama3", "qwen2", "o200k", "deepseek3"])
def test_it_is_used_for_every_preset(pattern):
    encoder = TemplatedEncoder(trained(pattern=pattern, added=["of them"]))
    ((ids, ends),) = encoder(["<|im_start|>user\nIt is 3 of them.<|im_end|>\n"])
    assert ids.size == ends.size
    assert ends[-1] == len("<|im_start|>user\nIt is 3 of them.<|im_end|>\n")


@pytest.mark.parametrize("token", [
    AddedToken("<|x|>", special=True, lstrip=True), AddedToken("<|x|>", special=True, single_word=True),
])  # fmt: skip
def test_tokens_that_reach_over_their_text_are_left_to_the_tokenizer(token):
    assert TemplatedEncoder(trained(added=[token]))(["a <|x|> b"]) == [None]


def test_text_that_the_normalizer_changes_is_left_to_the_tokenizer():
    encoder = TemplatedEncoder(trained(normalizer=normalizers.NFC()))
    left, found = encoder(["e\u0301", "é"])
    assert left is None
    assert found is not None


@pytest.mark.parametrize(("texts", "at"), [
    (["fine"] * CHECK_EVERY + ["wrong"], CHECK_EVERY), (["fine", "wrong 春"], 1),
])  # fmt: skip
def test_a_difference_is_an_error_and_then_all_is_left_to_the_tokenizer(monkeypatch, texts, at):
    encode = FastEncoder.encode

    def wrong(self, document):
        ids = encode(self, document)
        return ids[::-1].copy() if b"wrong" in document else ids

    monkeypatch.setattr(FastEncoder, "encode", wrong)
    encoder = TemplatedEncoder(trained())
    assert None not in encoder(texts[:at])
    with pytest.raises(OtherIdsError):
        encoder(texts[at:])
    assert encoder(["fine"]) == [None]

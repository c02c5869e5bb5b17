"""Templates that are shipped: what they write, what tokens they bring, and that what is learned passes the gate."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.borders import borders_of, mend_template
from llmkit.data.packing import IGNORED
from llmkit.data.rendering import CHAT_TEMPLATE, chosen_template, encode_prompt, give_template, render
from llmkit.data.targets import encode_chats
from llmkit.data.templates.shipped import SHIPPED
from styles import THOUGHTS, TOOLS, TURNS, said, user

WRITTEN = {
    "chatml": "<s><|im_start|>system\nBrief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    "Yo<|im_end|>\n",
    "chatml_tools": "<s><|im_start|>system\nBrief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    "Yo<|im_end|>\n",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBrief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nYo<|eot_id|>",
    "gemma": "<s><start_of_turn>user\nBrief.\n\nHi<end_of_turn>\n<start_of_turn>model\nYo<end_of_turn>\n",
    "phi3": "<s><|system|>\nBrief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nYo<|end|>\n",
    "plain": "<s>Brief.\n\nUser: Hi\n\nAssistant: Yo</s>\n\n",
}


def bare(*, eos="</s>"):
    """A byte-level tokenizer that was never meant for chats, as GPT-2's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token=eos)


def learned(tokenizer, turns):
    (made,) = encode_chats(tokenizer, [turns])
    assert not isinstance(made, DataError), made
    assert not made.notes
    prompts = [encode_prompt(tokenizer, turns[:i]) for i in range(1, len(turns))]
    found = []
    for part in made.parts:
        for answer in part.answers:
            assert part.ids[: answer.start].tolist() in prompts
            targets = [label for label in part.labels[answer.start - 1 : answer.end] if label != IGNORED]
            assert targets[-1] in borders_of(tokenizer).end_ids
            found.append(tokenizer.decode(targets))
    return found


def test_all_are_tried():
    assert set(WRITTEN) == set(SHIPPED)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_each_writes_and_what_is_learned(name):
    tokenizer, told = bare(), []
    before = len(tokenizer)
    give_template(tokenizer, name, told.append)
    mend_template(tokenizer, told.append)
    tokens = SHIPPED[name].tokens
    more = f", and the tokens {' '.join(tokens)}" if tokens else ""
    assert told == [f"the tokenizer gets the chat template '{name}'{more}"]
    assert tokenizer.convert_tokens_to_ids([*tokens]) == [*range(before, before + len(tokens))]
    turns = [{"role": "system", "content": "Brief."}, user("Hi"), said("Yo")]
    assert render(tokenizer, turns) == WRITTEN[name]
    end = borders_of(tokenizer).ender
    assert end in (*tokens, "</s>")
    blank = " " if name == "plain" else ""
    assert learned(tokenizer, TURNS) == [f"{blank}{turn['content']}{end}" for turn in TURNS[1::2]]


def test_chatml_tools_writes_tools_calls_and_thoughts():
    tokenizer = bare()
    give_template(tokenizer, "chatml_tools", str)
    call = '<tool_call>\n{{"name": "weather", "arguments": {{"city": "{}"}}}}\n</tool_call><|im_end|>'
    said = [call.format("Rome"), "Sunny.<|im_end|>", call.format("Oslo"), "Rain.<|im_end|>"]
    assert learned(tokenizer, TOOLS) == said
    assert '"description": "Tell the weather."' in render(tokenizer, TOOLS)
    assert "<tool_response>\nsunny\n</tool_response>" in render(tokenizer, TOOLS)
    assert learned(tokenizer, THOUGHTS)[0] == "<think>\none more than 2\n</think>\n\nIt is 3.<|im_end|>"


def test_pieces_of_words_are_enough():
    words = ["[UNK]", "[PAD]", "user", "assistant", ":", "hi", "yo", "##u"]
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")
    give_template(tokenizer, "chatml", str)
    (made,) = encode_chats(tokenizer, [[user("Hi"), said("Yo")]])
    (part,) = made.parts
    tokens = tokenizer.convert_ids_to_tokens(part.ids.tolist())
    assert tokens == ["<|im_start|>", "user", "hi", "<|im_end|>", "<|im_start|>", "assistant", "yo", "<|im_end|>"]
    assert tokenizer.convert_ids_to_tokens(part.labels[part.labels != IGNORED].tolist()) == ["yo", "<|im_end|>"]
    give_template(tokenizer, "plain", str)
    with pytest.raises(DataError, match="an answer would never end"):
        mend_template(tokenizer, str)


def test_a_models_own_template_of_that_name_comes_first():
    own = {"default": "D", "plain": "{{ 'own' }}"}
    assert chosen_template(own, "plain") == own["plain"]
    assert chosen_template(own, "llama3") == SHIPPED["llama3"].text
    tokenizer, told = bare(), []
    tokenizer.chat_template = own
    give_template(tokenizer, "plain", told.append)
    assert (tokenizer.chat_template, told) == (own["plain"], [])
    give_template(tokenizer, "llama3", told.append)
    assert told[0].startswith("the tokenizer gets the chat template 'llama3' instead of its own, and the tokens <|sta")


def test_what_is_there_stays_what_it_is():
    tokenizer = bare()
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"])
    before, told = len(tokenizer), []
    give_template(tokenizer, "chatml", told.append)
    assert (len(tokenizer), told) == (before, ["the tokenizer gets the chat template 'chatml'"])
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_unknown_names_are_told_the_nearest_and_nothing_named_is_told_how_to_have_one():
    with pytest.raises(ConfigError, match="no chat template 'chatlm'; did you mean 'chatml'") as error:
        give_template(bare(), "chatlm", str)
    assert "chatml, chatml_tools, llama3, gemma, phi3, plain" in error.value.hint
    with pytest.raises(DataError, match=r"the default one needs <\|im_start\|> and") as refused:
        give_template(bare(), None, str)
    assert "-s template=chatml adds these tokens and trains their rows" in refused.value.hint

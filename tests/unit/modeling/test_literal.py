from __future__ import annotations

import json

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.modeling.literal import LiteralEncoder


def tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<end>": 0, **{character: i for i, character in enumerate(alphabet, 1)}}
    backend = Tokenizer(models.BPE(vocab, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_tokens([AddedToken("kitten", normalized=False)])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    return made, {character: i for character, i in vocab.items() if i}


def test_special_tokens_are_text_unless_allowed():
    made, letters = tokenizer()
    spelled = [letters[character] for character in "a<end>"]
    kitten = made.convert_tokens_to_ids("kitten")
    assert LiteralEncoder.of(made).encode(["a<end>kitten"])[0][0].tolist() == [*spelled, kitten]
    allowed = LiteralEncoder.of(made, allow_special=True)
    assert allowed.encode(["a<end>kitten"])[0][0].tolist() == [letters["a"], 0, kitten]


def test_it_travels_as_json():
    made, _ = tokenizer()
    for allow in (False, True):
        literal = LiteralEncoder.of(made, allow_special=allow)
        again = LiteralEncoder.from_json(literal.as_json())
        assert again == literal
        assert again.encode(["<end>字"])[0][0].tolist() == literal.encode(["<end>字"])[0][0].tolist()


def test_special_entries_are_renamed_and_ids_stay():
    made, letters = tokenizer()
    content = LiteralEncoder.of(made).without_special()
    assert "<end>" not in json.dumps(content)
    assert content["model"]["vocab"]["\ufdd00\ufdd0"] == 0
    assert {k: v for k, v in content["model"]["vocab"].items() if v} == letters
    assert [token["content"] for token in content["added_tokens"]] == ["kitten"]


def test_sizes():
    made, _ = tokenizer()
    literal = LiteralEncoder.of(made)
    assert (literal.vocab_size, literal.dtype.name, literal.added) == (258, "uint16", ["<end>", "kitten"])
    assert LiteralEncoder(literal.pipeline, {}, 2**16 + 1).dtype.name == "uint32"
    (ids, ends), (none, _) = literal.encode(["a中", ""], ends=True)
    assert len(ids) == 4
    assert ends.tolist() == [1, 2, 2, 2]
    assert none.size == 0

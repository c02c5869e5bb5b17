"""Tokenizers in GGUF: llama.cpp reads the ids that the tokenizer reads, or the tokenizer is refused in words."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import gguf_exports
import gguf_files
from llmkit.evaluation.probes import TEXTS
from llmkit.exporters._gguf_tokenizer import CONTROL, NORMAL, UNUSED, USER_DEFINED, vocabulary_of, why_not
from llmkit.exporters.gguf import Gguf
from llmkit.modeling.gguf_keys import CUTS
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.runtimes.llama_cpp import LlamaCpp

MORE = (
    *TEXTS, "", " ", "\n\n \t", "<s>a</s>b", "IT'S we'LL they're 1234567 ½ ² ٣", "a  b   c\r\n", "🇳🇴🏴‍☠️", "<s", "ǅ ﬁ ®",
    "मैंने हिन्दी में", "x" * 60,
)  # fmt: skip


def run(folder, tokenizer, size=None):
    """llama.cpp with a model of a few numbers and this tokenizer."""
    exporter = Gguf(dtype="float32")
    model = gguf_exports.decoder("llama", vocab_size=size or len(tokenizer))
    assert exporter.supports(model.config, tokenizer) is None
    exporter.write(model, tokenizer, folder)
    return LlamaCpp().load(str(folder))


def changed(**parts) -> PreTrainedTokenizerFast:
    """The home-made tokenizer with other parts."""
    tokenizer = gguf_files.tokenizer()
    for name, part in parts.items():
        setattr(tokenizer.backend_tokenizer, name, part)
    return tokenizer


def cutting(*expressions: str):
    splits = [pre_tokenizers.Split(Regex(each), "isolated") for each in expressions]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


@pytest.fixture(scope="module")
def crossing():
    """Merges of anything with anything, so that ids tell where a text was cut; and texts that are hard to cut."""
    draws = random.Random(1)
    letters = "aAzéÉßЖжΩω'’sTrEvV13٣½² \t\n\r.,!/-_#中字あア한́िन्दी👩‍🚀Ⅷǅª\u00a0\u200b　𝔸𝟙"
    texts = ["".join(draws.choices(letters, k=draws.randint(1, 16))) for _ in range(2000)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = cutting()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=2000, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    )
    return backend, [*MORE, *texts[:400]]


@pytest.mark.parametrize("cuts", CUTS, ids=CUTS.values())
def test_ids_are_the_tokenizers(tmp_path, crossing, cuts):
    backend, texts = crossing
    backend.pre_tokenizer = cutting(*cuts)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(backend.to_str()), bos_token="<s>", eos_token="</s>"
    )
    running = run(tmp_path, tokenizer)
    assert [running.read(text) for text in texts] == [tokenizer(text).input_ids for text in texts]
    assert running.model.setting("tokenizer.ggml.pre") == CUTS[cuts]
    again = load_tokenizer(tmp_path / "model.gguf")  # llmkit reads the rules that it has written
    assert [again(text).input_ids for text in texts] == [tokenizer(text).input_ids for text in texts]
    running.close()


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    tokenizer = gguf_files.tokenizer()
    running = run(tmp_path_factory.mktemp("gpt2"), tokenizer)
    yield running, tokenizer
    running.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_any_text(gpt2, text):
    running, tokenizer = gpt2
    assert running.read(text) == tokenizer(text).input_ids


def test_chats_are_rendered_by_llama_cpp_alike(gpt2):
    running, tokenizer = gpt2
    turns = ({"role": "user", "content": " two\n lines "}, {"role": "assistant", "content": "渡轮 <s> 👩‍🚀"})
    for prompt in (False, True):
        expected = tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=prompt)
        assert running.render(turns, prompt=prompt) == expected


@pytest.mark.parametrize(("bos", "eos"), [(True, False), (False, True), (True, True)])
def test_what_is_put_around_a_text(tmp_path, bos, eos):
    single = f"{'<s> ' if bos else ''}$A{' </s>' if eos else ''}"
    around = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = changed(post_processor=around)
    running = run(tmp_path, tokenizer)
    assert running.read("the river") == tokenizer("the river").input_ids
    turns = ({"role": "user", "content": "the river"},)
    # llama.cpp takes a BOS of the template away where its tokenizer puts one, so that there is one.
    assert running.render(turns, prompt=True) == tokenizer.apply_chat_template(
        list(turns), tokenize=False, add_generation_prompt=True
    )
    running.close()


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("bos", [True, False])
def test_sentencepiece(tmp_path, prefix, bos):
    tokenizer = gguf_exports.sentencepieces(prefix=prefix, bos=bos)
    running = run(tmp_path, tokenizer)
    for text in ("The river runs 1995 times, doesn't it?", "渡轮 ½ naïve", "two  blanks\n", "a"):
        assert running.read(text) == tokenizer(text).input_ids, text
    assert running.model.text(running.read("the river")).strip().removeprefix("<s>").strip() == "the river"
    running.close()


def test_added_tokens_and_ids_without_one(tmp_path):
    tokenizer = gguf_files.tokenizer()
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("two words", normalized=False)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    size = len(tokenizer) + 2
    found = vocabulary_of(tokenizer, size, encoder=False)
    assert found.tokens[-5:] == ["<think>", "two words", "<|tool|>", "[UNUSED_323]", "[UNUSED_324]"]
    assert found.types[-5:] == [USER_DEFINED, USER_DEFINED, CONTROL, UNUSED, UNUSED]
    assert (found.types[0], found.types[100]) == (CONTROL, NORMAL)
    running = run(tmp_path, tokenizer, size)
    for text in ("<think>a two words b<|tool|> <think>", "x<|tool|><|tool|>", "<thin"):
        assert running.read(text) == tokenizer(text).input_ids, text
    running.close()


def lstripped():
    tokenizer = gguf_files.tokenizer()
    tokenizer.add_tokens([AddedToken("<x>", lstrip=True)])
    return tokenizer


def without_end():
    tokenizer = gguf_files.tokenizer()
    tokenizer.eos_token = None
    return tokenizer


def of_kind(kind: str):
    content = json.loads(gguf_files.tokenizer().backend_tokenizer.to_str())
    vocabulary = {f"w{i}": i for i in range(8)} | {"<s>": 8, "</s>": 9}
    content["added_tokens"] = []
    content["model"] = {"type": kind, "vocab": vocabulary, "unk_token": "w0"}
    if kind == "Unigram":
        scored = [[token, 0.0] for token in vocabulary]
        content["model"] = {"type": kind, "unk_id": 0, "vocab": scored, "byte_fallback": False}
    backend = Tokenizer.from_str(json.dumps(content))
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def bytes_alone():
    """A tokenizer of single bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


REFUSED = {
    "normalizer": (lambda: changed(normalizer=normalizers.NFC()), "no normalizer for such a tokenizer, and its"),
    "two normalizers": (
        lambda: changed(normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])),
        "its tokenizer has NFKC and Lowercase",
    ),
    "expression": (lambda: changed(pre_tokenizer=cutting(r"\w+|\W")), r"its tokenizer by others: \w+|\W"),
    "whitespace": (
        lambda: changed(
            pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel()])
        ),
        "by Whitespace as well",
    ),
    "prefix": (lambda: changed(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)), "add_prefix_space"),
    "lstrip": (lstripped, "llama.cpp has no lstrip for an added token, and '<x>' has"),
    "no end": (without_end, "its tokenizer has no end of text (eos_token)"),
    "no merges": (bytes_alone, "its tokenizer has no merges, and llama.cpp loads none of bytes without them"),
    "around": (
        lambda: changed(
            post_processor=processors.TemplateProcessing(single="<|turn|> $A", special_tokens=[("<|turn|>", 2)])
        ),
        "llama.cpp puts BOS or EOS around a text, and its tokenizer the ids [2] and []",
    ),
    "WordLevel": (lambda: of_kind("WordLevel"), "llama.cpp has no WordLevel tokenizer for a model that writes"),
    "Unigram": (lambda: of_kind("Unigram"), "llama.cpp has no Unigram tokenizer for a model that writes"),
    "WordPiece": (gguf_exports.wordpieces, "llama.cpp has no WordPiece tokenizer for a model that writes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_llama_cpp_cannot_say_is_refused(case):
    make, words = REFUSED[case]
    assert words in why_not(make(), encoder=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clean_text": False}, "llama.cpp cleans text"),
        ({"handle_chinese_chars": False}, "llama.cpp cleans text and cuts between Chinese characters"),
    ],
)
def test_what_llama_cpp_cannot_say_of_wordpieces_is_refused(settings, words):
    assert words in why_not(gguf_exports.wordpieces(**settings), encoder=True)
    assert "and its tokenizer is a BPE" in why_not(gguf_files.tokenizer(), encoder=True)


def test_merges_that_do_not_give_a_token_are_found():
    """By Llama 3's rules a word that is a token is one, and this tokenizer's merges never give "riv"."""
    content = json.loads(changed(pre_tokenizer=cutting(*list(CUTS)[2])).backend_tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary["zzq"] = len(vocabulary)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)), bos_token="<s>", eos_token="</s>"
    )
    assert "(ignore_merges), and its merges do not give 'zzq'" in why_not(tokenizer, encoder=False)
    content["model"]["ignore_merges"] = True
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)), bos_token="<s>", eos_token="</s>"
    )
    assert why_not(tokenizer, encoder=False) is None

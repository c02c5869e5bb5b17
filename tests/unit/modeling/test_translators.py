"""Marian's and M2M-100's tokenizers against transformers' own."""

from __future__ import annotations

import json
import warnings

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.modeling.languages import language_names, speaks, target_side
from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest
from translators import save_tokenizer

SOURCES = ["a bad cab", "fade a decade", "  bead  face", "cabbage", "faced, dad"] * 4
TARGETS = ["le café est là", "l'été, déjà", "une fête là", "cèdre et hêtre"] * 4


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Our tokenizer of a kind and theirs."""

    def of(kind):
        folder = tmp_path_factory.mktemp("tokenizer") / kind
        save_tokenizer(folder, kind, SOURCES, TARGETS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = transformers.AutoTokenizer.from_pretrained(folder)
        ours = load_tokenizer(folder)
        if kind == "m2m_100":
            ours.src_lang, ours.tgt_lang = theirs.src_lang, theirs.tgt_lang = "en", "fr"
        return ours, theirs

    return {kind: of(kind) for kind in ("marian", "m2m_100")}


@pytest.mark.parametrize("kind", ["marian", "m2m_100"])
@given(source=st.text("abcdefg, "), target=st.text("acdehrtuéèêà', "))
@settings(max_examples=60, deadline=None)
def test_both_sides_have_their_ids_and_texts(both, kind, source, target):
    ours, theirs = both[kind]
    one, other = ours(source, text_target=target), theirs(source, text_target=target)
    assert one["input_ids"] == other["input_ids"]
    assert one["labels"] == other["labels"]
    words = ours.decode(one["labels"], skip_special_tokens=True).split()
    assert words == theirs.decode(other["labels"], skip_special_tokens=True).replace("__fr__", "").split()


@pytest.mark.parametrize("kind", ["marian", "m2m_100"])
def test_saved_it_is_the_same_for_transformers_and_here(both, kind, tmp_path):
    ours, theirs = both[kind]
    ours.save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is type(theirs)
    assert again("a bad cab", text_target="déjà") == theirs("a bad cab", text_target="déjà")
    assert tokenizer_digest(tmp_path) == tokenizer_digest(ours)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.src_lang, loaded.tgt_lang) == (ours.src_lang, ours.tgt_lang)


def test_which_have_languages_and_which_a_side_of_their_own(both):
    marian, m2m = (both[kind][0] for kind in ("marian", "m2m_100"))
    assert (speaks(marian), speaks(m2m)) == (False, True)
    assert {"en", "fr", "zh"} <= {*language_names(m2m)}
    ids = target_side(marian)("déjà")["input_ids"]
    assert marian(text_target="déjà")["input_ids"] == ids
    assert marian.unk_token_id not in ids


def test_two_vocabularies_are_refused(both, tmp_path):
    both["marian"][0].save_pretrained(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(dumps({**json.loads(config.read_text()), "separate_vocabs": True}))
    (tmp_path / "target_vocab.json").write_bytes((tmp_path / "vocab.json").read_bytes())
    with pytest.raises(DataError, match="a vocabulary for the sources and another one for the targets"):
        load_tokenizer(tmp_path)

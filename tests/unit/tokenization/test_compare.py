"""Two tokenizers on the same text: differences, overlap and ratios worked out by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.data.sources import Record
from llmkit.tokenization.compare import Difference, compare, open_sources, sample, show_comparison
from llmkit.tokenization.show import Cutter
from tiny import byte_tokenizer


def merging(*merges: tuple[str, str]) -> PreTrainedTokenizerFast:
    """The 256 bytes and tokens for the given merges, in the byte alphabet."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, *("".join(pair) for pair in merges)])}
    backend = Tokenizer(models.BPE(vocabulary, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


BYTES = byte_tokenizer()
AB = merging(("a", "b"), ("ab", "c"))
BC = merging(("b", "c"))
HAN = merging(("ä", "½"))  # the first two bytes of `你`


def records(*texts, source="s", language="en"):
    return [Record(i, text, source, language=language) for i, text in enumerate(texts)]


def test_differences_by_hand():
    found = compare(("bytes", "ab"), (BYTES, AB), records("ab ab abc", "no", "ab"))
    assert found.differences == [
        Difference(3, ((b"a", b"b"), (b"ab",))),
        Difference(1, ((b"a", b"b", b"c"), (b"abc",))),
    ]


def test_borders_that_cross_are_one_difference():
    found = compare(("ab", "bc"), (merging(("a", "b")), BC), records("xabcx"))
    assert found.differences == [Difference(1, ((b"ab", b"c"), (b"a", b"bc")))]


def test_differences_within_a_character():
    found = compare(("bytes", "han"), (BYTES, HAN), records("他你"))
    assert found.differences == [Difference(1, ((b"\xe4", b"\xbd"), (b"\xe4\xbd",)))]
    assert found.as_json()["differences"][0]["cuts"] == [["<E4>", "<BD>"], ["<E4 BD>"]]


def test_the_greatest_difference_comes_first():
    found = compare(("bytes", "ab"), (BYTES, AB), records("abc abc ab ab ab"))
    assert [(d.times, d.cuts[1]) for d in found.differences] == [(2, (b"abc",)), (3, (b"ab",))]


@given(st.text(alphabet="abc 你\n", min_size=1))
def test_the_cuts_of_a_difference_are_the_same_text_and_its_tokens(text):
    found = compare(("ab", "bc"), (AB, BC), records(text))
    for difference in found.differences:
        first, second = map(b"".join, difference.cuts)
        assert first == second
        assert first in text.encode()
        assert difference.cuts[0] != difference.cuts[1]
    pieces = [Cutter(tokenizer).pieces(text) for tokenizer in (AB, BC)]
    fewer = sum(d.times * (len(d.cuts[1]) - len(d.cuts[0])) for d in found.differences)
    assert len(pieces[1]) - len(pieces[0]) == fewer


def test_the_same_tokenizer_twice_has_no_differences():
    found = compare(("a", "b"), (AB, AB), records("abc", "却说曹操"))
    assert found.differences == []
    assert found.shared == 258


def test_the_overlap_leaves_special_tokens_out():
    assert compare(("bytes", "ab"), (BYTES, AB), records("x")).shared == 256
    assert compare(("ab", "bc"), (AB, BC), records("x")).shared == 256


def test_a_mark_for_a_space_is_a_space():
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0), ("a", -2.0), ("b", -2.0)], unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    other = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert compare(("a", "b"), (merging(("Ġ", "a")), other), records("x")).shared == 3  # ` a`, `a`, `b`


def test_the_pieces_of_a_word_are_those_inside_it():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "c": 3, "##zz": 4}, unk_token="[UNK]"))
    other = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert compare(("a", "b"), (merging(("Ġ", "a")), other), records("x")).shared == 2  # ` a`, `b`


def test_counts_per_language_and_source():
    text = [*records("ab ab"), *records("你", source="z", language="zh")]
    found = compare(("bytes", "ab"), (BYTES, AB), text).as_json()
    first, second = found["tokenizers"]
    assert (first["total"]["tokens"], second["total"]["tokens"]) == (8, 6)
    assert second["languages"]["en"]["bytes_per_token"] == pytest.approx(5 / 3, abs=1e-6)
    assert second["sources"]["z"]["bytes_per_token"] == 1.0
    assert (first["vocabulary"], second["vocabulary"], second["used"]) == (261, 258, 5)


def test_borders_are_compared_in_all_languages(monkeypatch):
    monkeypatch.setattr("llmkit.tokenization.compare._CUT_BYTES", 200)
    text = [*records(*["abc"] * 1000), *records("你", language="zh")]
    found = compare(("bytes", "merges"), (BYTES, merging(("a", "b"), ("ä", "½"))), text).differences
    assert [difference.cuts[1] for difference in found] == [(b"ab",), (b"\xe4\xbd",)]
    assert found[0].times < 100


def test_no_text_is_an_error():
    with pytest.raises(DataError, match="no text"):
        compare(("a", "b"), (AB, AB), records("", ""))


def test_a_pipe_gets_the_tables(capsys):
    show_comparison(compare(("one", "two"), (BYTES, AB), records("ab 你")), Console())
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == ["A one", "B two"]
    assert "A a|b| |<E4>|<BD>|<A0=你>" in lines
    assert "B ab| |<E4>|<BD>|<A0=你>" in lines
    assert "tokens 6 5 -16.7%" in lines
    assert "bytes per token 1.00 1.20 +20.0%" in lines
    assert "vocabulary, special tokens left out 256 258" in lines
    assert "also in the other 100.0% 99.2%" in lines
    assert lines[-1] == "a|b ab 1"


def test_json_is_one_object(capsys):
    show_comparison(compare(("one", "two"), (BYTES, AB), records("ab", "c")), Console(json_mode=True))
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["exit_code"], found["documents"]) == ("compare", 0, 2)
    assert found["differences"] == [{"count": 1, "text": "ab", "cuts": [["a", "b"], ["ab"]]}]


@pytest.fixture
def folder(tmp_path):
    for name in ("one", "two"):
        rows = [json.dumps({"text": f"{name} 文本 {i} " + "x" * 100}) for i in range(50)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join([*rows, "{broken"]) + "\n", encoding="utf-8")
    return tmp_path


def test_a_sample_is_the_same_every_time_and_leaves_broken_rows_out(folder):
    sources = open_sources([str(folder)])
    whole = sample(sources)
    assert len(whole) == 100
    assert {record.source for record in whole} == {"one", "two"}
    assert [record.text for record in sample(sources)] == [record.text for record in whole]


def test_a_sample_keeps_to_its_size_and_takes_from_every_file(folder, monkeypatch):
    monkeypatch.setattr("llmkit.tokenization.compare._PIECE_BYTES", 1000)
    found = sample(open_sources([str(folder)]), 4000)
    size = sum(len(record.text.encode()) for record in found)
    assert 3000 < size < 5000
    assert len({record.source for record in found}) == 2


def test_inputs_that_are_not_there_are_errors(tmp_path):
    with pytest.raises(DataError, match="nothing-there"):
        sample(open_sources([str(tmp_path / "nothing-there")]))
    with pytest.raises(ConfigError):
        open_sources([])

from __future__ import annotations

import math

import pytest
from sacrebleu.metrics.bleu import BLEU

from llmkit.metrics.bleu import Bleu, tokenizer_for


def score(predictions, references, **settings):
    return Bleu(**settings).load().compute(predictions=predictions, references=references)["bleu"]


def test_by_hand():
    """Precisions 5/6, 4/5, 3/4 and 2/3, as long as the reference."""
    expected = 100 * math.exp(sum(map(math.log, (5 / 6, 4 / 5, 3 / 4, 2 / 3))) / 4)
    assert score(["a b c d e x"], ["a b c d e f"]) == pytest.approx(expected)
    assert score(["a b c d e f"], ["a b c d e f"]) == pytest.approx(100)


def test_several_references_as_in_sacrebleu():
    predictions, references = (
        ["the cat sat here", "it rains now again"],
        [["the cat sat"], ["it rains", "it rains now"]],
    )
    expected = BLEU(tokenize="13a").corpus_score(predictions, [["the cat sat", "it rains"], [None, "it rains now"]])
    assert score(predictions, references) == pytest.approx(expected.score)


def test_the_script_of_the_references_decides_the_tokenizer():
    assert tokenizer_for(["打开文件。", "LibreOffice 文档"]) == "13a"  # 10 of 18 are Latin
    assert tokenizer_for(["打开文件。", "在文档中选择一个单元格"]) == "zh"
    assert tokenizer_for(["ファイルを開く"]) == "char"
    assert tokenizer_for([]) == "13a"
    assert score(["打开这个文件"], ["打开这个文件"]) == pytest.approx(100)
    expected = BLEU(tokenize="zh").corpus_score(["打开这个文件夹"], [["打开那个文件夹"]]).score
    assert score(["打开这个文件夹"], ["打开那个文件夹"]) == pytest.approx(expected)
    assert score(["a b c d"], ["a b c d"], tokenize="char") == pytest.approx(100)


def test_rare_characters_are_cut_as_well():
    """sacrebleu's `zh` takes Han from U+20000 up for parts of words: one wrong one of six gave 0."""
    said, wanted = ["𠮷𠮸家真好吃"], ["𠮷𠮸家很好吃"]
    assert score(said, wanted, tokenize="zh") < score(said, wanted)
    assert score(["𠮷𠮸家真好吃"], ["𠮷𠮸家很好吃"]) == pytest.approx(score(["吉野家真好吃"], ["吉野家很好吃"]))
    assert score(["𠮷𠮸𠮹𠮺𠮻𠮼"], ["𠮷𠮸𠮹𠮺𠮻𠮽"]) == pytest.approx(score(["abcdef"], ["abcdeg"], tokenize="char"))
    assert score(["鿠"], ["鿠"], tokenize="auto") == score(["吉"], ["吉"])


def test_all_han_is_cut_by_sacrebleu_or_here():
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    from llmkit.metrics._sacrebleu import apart
    from llmkit.text.characters import SCRIPT_SHIFT, SCRIPTS, character_table

    table = character_table().info >> SCRIPT_SHIFT == SCRIPTS.index("Han")
    han = [chr(code) for code in table.nonzero()[0].tolist()]
    assert len(han) > 90_000
    theirs = TokenizerZh()._is_chinese_char.__wrapped__
    left = [char for char in han if apart([char]) == [char] and not theirs(char)]
    assert left == []
    assert [char for char in han if apart([char]) != [char] and theirs(char)] == []


def test_the_settings_are_said():
    version = __import__("sacrebleu").__version__
    assert Bleu().chosen(["a"]) == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    assert "|tok:zh|" in Bleu().chosen(["打开文件"])
    assert "|tok:zh+rare|" in Bleu().chosen(["打开𠮷文件"])
    assert Bleu(lowercase=True).chosen([["a", "b"], "c"]).startswith("nrefs:var|case:lc|")


@pytest.mark.parametrize(("tokenize", "why"), [("flores200", "downloads a model"), ("spm", "downloads a model"),
                                               ("ja-mecab", "needs a dictionary")])  # fmt: skip
def test_tokenizers_that_are_not_here_are_refused_in_words(tokenize, why):
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match=f"'{tokenize}' {why}.*use auto, zh or char"):
        Bleu(tokenize=tokenize)

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

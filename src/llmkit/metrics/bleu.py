"""BLEU: n-grams of words that are in a reference, over the whole corpus (Papineni et al. 2002), by sacrebleu."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

import numpy as np

from llmkit.metrics import Metric
from llmkit.text.characters import UNSPACED, character_table, code_points

if TYPE_CHECKING:
    import evaluate

_HAN = (0x3400, 0x9FFF)


class Bleu(Metric):
    """Match n-grams of one to four words, with a penalty for what is too short; without smoothing but sacrebleu's own.

    The score is `bleu`. What is a word is a tokenizer's choice, and numbers of different ones do not compare.
    """

    tokenize: Literal["auto", "13a", "intl", "zh", "char", "none"] = "auto"
    """sacrebleu's tokenizer. auto: `zh` where most of the references' characters are Chinese, `char` where they are of
    another script without spaces, else `13a`."""

    def load(self) -> evaluate.Metric:
        """Return the metric; its references may be lists, of which each n-gram may be in any."""
        from llmkit.metrics._pairs import PairMetric

        return PairMetric(
            "bleu",
            "Precision of word n-grams over the corpus, 0 to 100 (sacrebleu).",
            "Kishore Papineni et al. BLEU: a method for automatic evaluation of machine translation. ACL, 2002.",
            self._score,
        )

    def _score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        from sacrebleu.metrics.bleu import BLEU

        texts = (text for options in references for text in options)
        scorer = BLEU(tokenize=tokenizer_for(texts) if self.tokenize == "auto" else self.tokenize)
        # sacrebleu wants the first references of all rows, then the second ones, with None where a row has no more.
        return {"bleu": float(scorer.corpus_score(predictions, list(zip_longest(*references))).score)}


def tokenizer_for(texts: Iterable[str]) -> str:
    """Return the name of sacrebleu's tokenizer that suits the script of some texts."""
    codes = code_points("".join("".join(text.split()) for text in texts))
    unspaced = codes[(character_table().info[codes] & UNSPACED) != 0]
    if 2 * unspaced.size <= codes.size:
        return "13a"
    han = np.count_nonzero((unspaced >= _HAN[0]) & (unspaced <= _HAN[1]))
    return "zh" if 10 * han >= 9 * unspaced.size else "char"

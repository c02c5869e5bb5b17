"""BLEU: n-grams of words that are in a reference, over the whole corpus (Papineni et al. 2002), by sacrebleu."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from llmkit.metrics import References, TextMetric
from llmkit.metrics._given import checked
from llmkit.metrics._sacrebleu import apart, has_uncut, shares_of, signature, sums_of

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

    from llmkit.evaluation.measures import Measure

ORDERS = 4
_ELSEWHERE = {
    **dict.fromkeys(("flores101", "flores200", "spm", "spBLEU-1K"), "downloads a model when it is used"),
    **dict.fromkeys(("ja-mecab", "ko-mecab"), "needs a dictionary of its own"),
}


def _here(tokenize: Any) -> Any:
    if why := _ELSEWHERE.get(tokenize) if isinstance(tokenize, str) else None:
        raise ValueError(f"'{tokenize}' {why}, and metrics are complete without one: use auto, zh or char")
    return tokenize


class Bleu(TextMetric):
    """Match n-grams of one to four words, with a penalty for what is too short; without smoothing but sacrebleu's own.

    The score is `bleu`. What is a word is a tokenizer's choice, and numbers of different ones do not compare: the
    results say which one it was.
    """

    says: ClassVar[str] = "Precision of word n-grams over the corpus, 0 to 100 (sacrebleu)."
    paper: ClassVar[str] = (
        "Kishore Papineni et al. BLEU: a method for automatic evaluation of machine translation. ACL, 2002."
    )

    tokenize: Annotated[Literal["auto", "13a", "intl", "zh", "char", "none"], BeforeValidator(_here)] = "auto"
    """sacrebleu's tokenizer. auto: `zh` where most of the references' characters are Chinese, `char` where they are of
    another script without spaces, else `13a`. With auto, `zh` also cuts the rare characters that sacrebleu's own does
    not know, such as all from U+20000 up."""
    lowercase: bool = False
    """Take `The` for `the`."""

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return bleu; each n-gram may be in any of the references."""
        from llmkit.evaluation.measures import Sums

        scorer = self._scorer(references)
        if self.tokenize == "auto" and scorer.tokenizer_signature == "zh":
            predictions, references = apart(predictions), [apart(options) for options in references]
        return {"bleu": Sums(sums_of(scorer, predictions, references), bleu_of)}

    def chosen(self, references: References) -> str:
        """Return sacrebleu's signature."""
        _, wanted = checked(self.called, [""] * len(references), references)
        scorer = self._scorer(wanted)
        found = signature(scorer, wanted)
        rare = self.tokenize == "auto" and scorer.tokenizer_signature == "zh" and any(map(has_uncut, wanted))
        return found.replace("tok:zh", "tok:zh+rare") if rare else found

    def _scorer(self, references: Iterable[Iterable[str]]) -> BLEU:
        from sacrebleu.metrics.bleu import BLEU

        auto = self.tokenize == "auto"
        tokenizer = tokenizer_for(text for options in references for text in options) if auto else self.tokenize
        return BLEU(tokenize=tokenizer, lowercase=self.lowercase, force=True)


def tokenizer_for(texts: Iterable[str]) -> str:
    """Return the name of sacrebleu's tokenizer that suits the script of some texts."""
    unspaced, han = shares_of(texts)
    if 2 * unspaced <= 1:
        return "13a"
    return "zh" if 10 * han >= 9 else "char"


def bleu_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return BLEU of counts over a corpus.

    Args:
        sums: `[..., 10]`: words said, words of the closest references, n-grams matched by order, n-grams said by order.
    """
    said, wanted = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    # The k-th order without any match counts as 1 / 2^k of one; an order without n-grams, or no match at all, is 0.
    smoothed = np.where(matched > 0, matched, 0.5 ** np.cumsum(matched == 0, axis=-1))
    has = np.asarray((total > 0).all(axis=-1) & (matched > 0).any(axis=-1))
    precision = np.where(has[..., None], smoothed / np.where(total > 0, total, 1.0), 1.0)
    short = np.where((said < wanted) & has, np.exp(1 - wanted / np.where(said > 0, said, 1.0)), 1.0)
    score: NDArray[np.float64] = np.where(has, short * np.exp(np.log(100 * precision).mean(axis=-1)), 0.0)
    return score

"""What BLEU, chrF and TER share: sacrebleu's sums over a corpus, text by text, and the scripts that it does not cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmkit.text.characters import SCRIPT_SHIFT, SCRIPTS, UNSPACED, character_table, code_points

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Scorer

_UNCUT_HAN = re.compile(
    "([\u4db6-\u4dbf\u9fbc-\u9fff\ufa2e\ufa2f\ufa6b-\ufa6f\U00016fe3\U00016ff0\U00016ff1\U00020000-\U0003347f])"
)
"""Han that is missing in sacrebleu's tokenizer `zh`: it takes `\\u20000` for five digits, and is of Unicode 4.1."""


def sums_of(scorer: Scorer, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return what each text adds to the counts of which sacrebleu computes the score of a corpus, `[texts, counts]`.

    Args:
        scorer: BLEU, CHRF or TER of sacrebleu.
        predictions: Texts.
        references: Those of each text.
    """
    # sacrebleu wants the first references of all rows, then the second ones, with None where a row has no more.
    streams = list(zip_longest(*references))
    return np.array(scorer._extract_corpus_statistics(predictions, streams), np.float64)


def signature(scorer: Scorer, references: Sequence[Sequence[str]]) -> str:
    """Return sacrebleu's line of settings, `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`."""
    counts = {len(options) for options in references}
    scorer.num_refs = counts.pop() if len(counts) == 1 else -1  # -1 is written `var`
    return str(scorer.get_signature().format())


def apart(texts: Iterable[str]) -> list[str]:
    """Return texts with blanks around the Han that sacrebleu does not cut, such as that from U+20000 up."""
    return [text if text.isascii() else _UNCUT_HAN.sub(r" \1 ", text) for text in texts]


def has_uncut(texts: Iterable[str]) -> bool:
    """Tell whether any text has such Han."""
    return any(_UNCUT_HAN.search(text) for text in texts if not text.isascii())


def shares_of(texts: Iterable[str]) -> tuple[float, float]:
    """Return which share of the characters is of scripts without spaces, and which of these are Chinese; 0 of none."""
    codes = code_points("".join("".join(text.split()) for text in texts))
    info = character_table().info[codes]
    unspaced = (info & UNSPACED) != 0
    han = unspaced & (info >> SCRIPT_SHIFT == SCRIPTS.index("Han"))
    count = int(unspaced.sum())
    return (count / codes.size, int(han.sum()) / count) if count else (0.0, 0.0)

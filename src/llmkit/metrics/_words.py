"""Words of generated texts, as ROUGE and what counts repetitions take them."""

from __future__ import annotations

import unicodedata

from llmkit.text.characters import MARK, UNSPACED, character_table, code_points


def tokenize(text: str) -> list[str]:
    """Cut text into lowercased runs of letters and digits, and scripts written without spaces into characters.

    Combining marks (accents, vowel signs) stay with their letter. For ASCII text the result is that of `rouge_score`'s
    default tokenizer without stemming.
    """
    pieces: list[str] = []
    inside_word = False
    text = unicodedata.normalize("NFKC", text).lower()
    for char, flags in zip(text, character_table().info[code_points(text)].tolist(), strict=True):
        if flags & MARK:
            if pieces and pieces[-1] != " ":  # an emoji's variation selector is a mark without a letter
                pieces.append(char)
        elif flags & UNSPACED:
            pieces += (" ", char)
            inside_word = False
        elif char.isalnum():
            if not inside_word:
                pieces.append(" ")
            pieces.append(char)
            inside_word = True
        else:
            pieces.append(" ")
            inside_word = False
    return "".join(pieces).split()

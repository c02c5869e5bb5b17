"""Build the `tokenizers` pipeline that gives the ids of a SentencePiece model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmkit.core.errors import DataError
from llmkit.modeling.sentencepiece_model import (
    BPE,
    BYTE,
    CONTROL,
    NORMAL,
    SPACE,
    UNIGRAM,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    SentencePieceModel,
)

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

CERTAIN = 100.0
"""Score per character that nothing learned comes near: those are log probabilities."""


def exceptions(model: SentencePieceModel) -> list[str]:
    """Return where the ids may differ from those of sentencepiece.

    It adds scores in float32: between equally good ways to cut, such as `...` `.` and `.` `...`, rounding chooses, and
    over many thousand characters also between nearly equal ones. `tokenizers` applies the normalization rules to whole
    grapheme clusters first.
    """
    found = []
    if model.model_type == UNIGRAM:
        found.append("between equally good ways to cut, rounding chooses")
        known = {char for piece in model.pieces if piece.kind == NORMAL for char in piece.text}
        unknown = model.pieces[model.specials["unk"]].text
        if not model.byte_fallback and not known.issuperset(unknown):
            found.append(f"a literal {unknown} in a text is one unknown token")
    if model.character_map:
        found.append("Hangul in single jamo is normalized by syllables")
    return found


def to_tokenizer(model: SentencePieceModel) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a model.

    Ids are those of sentencepiece, but for what `exceptions` names.

    Raises:
        DataError: It has user-defined symbols under rules with which `tokenizers` cannot give the same ids.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(_unigram(model) if model.model_type == UNIGRAM else _bpe(model))
    backend.normalizer = _normalizer(model)
    backend.pre_tokenizer = _pre_tokenizer(model, backend)
    if _as_words(model):
        _check_words(model, backend)
        backend.model.ignore_merges = True  # a word that is an entry is that entry
    backend.decoder = _decoder(model)
    _add_specials(backend, model)
    names = {f"{role}_token": model.pieces[i].text for role, i in model.specials.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **names)


def _unigram(model: SentencePieceModel) -> models.Unigram:
    from tokenizers import models

    learned = [piece.score for piece in model.pieces if piece.kind == NORMAL]
    low = min(learned, default=0.0)

    def score(piece: Piece) -> float:
        if piece.kind == NORMAL:
            return piece.score
        if piece.kind == USER_DEFINED:  # always found, the longest first
            return CERTAIN * len(piece.text)
        # sentencepiece never finds these in text. `tokenizers` looks for every entry: a literal `</s>` or `<0x41>`
        # must be worse than its characters.
        return (len(piece.text) + 1) * (low - 1)

    vocabulary = [(piece.text, score(piece)) for piece in model.pieces]
    return models.Unigram(vocabulary, unk_id=model.specials["unk"], byte_fallback=model.byte_fallback)


def _bpe(model: SentencePieceModel) -> models.BPE:
    """Two pieces merge where their text is a piece; the better its score, the sooner."""
    from tokenizers import models

    vocabulary = {piece.text: i for i, piece in enumerate(model.pieces)}
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind in (NORMAL, USER_DEFINED, UNUSED)}
    merges = []
    for text, score in scores.items():
        cuts = ((text[:i], text[i:]) for i in range(1, len(text)))
        merges += [(-score, vocabulary[a], vocabulary[b], a, b) for a, b in cuts if a in scores and b in scores]
    return models.BPE(
        vocabulary,
        [(a, b) for *_, a, b in sorted(merges)],
        unk_token=model.pieces[model.specials["unk"]].text,
        fuse_unk=True,
        byte_fallback=model.byte_fallback,
    )


def _normalizer(model: SentencePieceModel) -> normalizers.Normalizer:
    from tokenizers import Regex, normalizers

    steps: list[normalizers.Normalizer] = []
    if model.character_map:
        steps.append(normalizers.Precompiled(model.character_map))
    if model.collapse_spaces:  # spaces alone: `Strip` would take line ends as well
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if model.prefix_space:
        steps.append(normalizers.Prepend(SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def _as_words(model: SentencePieceModel) -> bool:
    """Say whether user-defined symbols of BPE have to be words of the normalized text.

    As added tokens, `tokenizers` finds them before it normalizes: what stands between two of them would be a text of
    its own, with a space put before and none at its ends.
    """
    spaced = model.prefix_space or model.collapse_spaces or bool(model.character_map)
    return model.model_type == BPE and spaced and bool(_symbols(model))


def _symbols(model: SentencePieceModel) -> list[str]:
    """Return the user-defined symbols, the longest first: of two that begin at a place sentencepiece takes that."""
    return sorted((piece.text for piece in model.pieces if piece.kind == USER_DEFINED), key=len, reverse=True)


def _pre_tokenizer(model: SentencePieceModel, backend: Tokenizer) -> pre_tokenizers.PreTokenizer | None:
    """Cut around symbols and out of the names of bytes; before spaces, where no piece reaches across one.

    The latter leaves the ids as they are, and `tokenizers` can remember words.
    """
    from tokenizers import Regex, pre_tokenizers

    cuts = []
    if _as_words(model):
        cuts.append("|".join(map(re.escape, _symbols(model))))
    elif (apart := _apart(model)) is not None:
        cuts.append(apart)
    if not any(SPACE in piece.text.lstrip(SPACE) for piece in model.pieces if piece.kind != USER_DEFINED or not cuts):
        cuts.append(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
    if _as_words(model):
        cuts += _broken_names(model, backend)
    steps = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in cuts]
    return pre_tokenizers.Sequence(steps) if len(steps) > 1 else next(iter(steps), None)


def _apart(model: SentencePieceModel) -> str | None:
    """Return what cuts out the characters of names such as `<0x41>` that a Unigram model does not have.

    A name scores below its characters, but an unknown character scores below any entry. No piece reaches across one.
    """
    if model.model_type != UNIGRAM or not model.byte_fallback:
        return None
    known = {char for piece in model.pieces if piece.kind == NORMAL for char in piece.text}
    names = {char for piece in model.pieces if piece.kind in (BYTE, UNKNOWN) for char in piece.text}
    if not (unknown := sorted(names - known)):
        return None
    return "|".join(map(re.escape, [*_symbols(model), *unknown]))


def _broken_names(model: SentencePieceModel, backend: Tokenizer) -> Iterator[str]:
    """Yield what cuts a word that is the name of a byte or of the unknown where merges leave a border in it."""
    rests: dict[str, list[str]] = {}
    for piece in model.pieces:
        if piece.kind in (BYTE, UNKNOWN) and piece.text.isascii():
            border = backend.model.tokenize(piece.text)[0].offsets[1]
            rests.setdefault(piece.text[:border], []).append(piece.text[border:])
    for first, others in rests.items():
        if any(others):
            yield rf"\A{re.escape(first)}(?=(?:{'|'.join(map(re.escape, filter(None, others)))})\z)"


def _check_words(model: SentencePieceModel, backend: Tokenizer) -> None:
    """Make sure that symbols can be found in the normalized text, and that merges make every word that is a piece.

    Raises:
        DataError: They cannot; the message names the rule.
    """
    rules = {
        "add_dummy_prefix": model.prefix_space,
        "remove_extra_whitespaces": model.collapse_spaces,
        "normalization_rule_name": bool(model.character_map),
    }
    what = f"user-defined symbols under the rules {', '.join(name for name, on in rules.items() if on)}"
    hint = "use the tokenizer.json made of it, or a model without user_defined_symbols"
    normalizer = _normalizer(model)
    for symbol in _symbols(model):
        normal = normalizer.normalize_str(symbol).removeprefix(SPACE if model.prefix_space else "")
        if normal != symbol or (model.collapse_spaces and SPACE in symbol):
            raise DataError(f"the SentencePiece model has {what}, which would change its symbol {symbol!r}", hint)
    for i, piece in enumerate(model.pieces):
        if piece.kind == NORMAL and [token.id for token in backend.model.tokenize(piece.text)] != [i]:
            never = f"a piece that merges never make, {piece.text!r}"
            raise DataError(f"the SentencePiece model has {what}, and {never}: its ids cannot be given", hint)


def _decoder(model: SentencePieceModel) -> decoders.Decoder:
    from tokenizers import decoders

    steps: list[decoders.Decoder] = [decoders.Replace(SPACE, " ")]
    if model.byte_fallback:
        steps.append(decoders.ByteFallback())
    steps.append(decoders.Fuse())
    if model.prefix_space:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)


def _add_specials(backend: Tokenizer, model: SentencePieceModel) -> None:
    from tokenizers import AddedToken

    special: list[AddedToken | str] = []
    found: list[AddedToken | str] = []
    for piece in model.pieces:
        if piece.kind in (CONTROL, UNKNOWN):
            special.append(AddedToken(piece.text, normalized=False, special=True))
        elif piece.kind == USER_DEFINED and model.model_type == BPE and not _as_words(model):
            found.append(AddedToken(piece.text, normalized=False))
    backend.add_special_tokens(special)
    backend.add_tokens(found)

"""A tokenizer as a GGUF file has it: tokens with their types, merges, rules by name, and what llama.cpp cannot say.

llama.cpp knows rules for cutting text by name alone, and ignores normalizers and what an added token takes away around
itself: a tokenizer with other rules would read other ids without a word, and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmkit.exporters import _gguf_cuts as cuts
from llmkit.modeling.gguf_keys import ROLES, TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""`tokenizer.ggml.token_type`."""
AROUND = ("lstrip", "rstrip", "single_word")
ENCODER_ROLES = {
    "cls_token": "tokenizer.ggml.bos_token_id", "sep_token": "tokenizer.ggml.seperator_token_id",
    "mask_token": "tokenizer.ggml.mask_token_id", "unk_token": ROLES["unk_token"], "pad_token": ROLES["pad_token"],
}  # fmt: skip
PROBE = "a"


@dataclass(frozen=True)
class Vocabulary:
    """What a file says of a tokenizer.

    Attributes:
        tokens: By id.
        types: Of each.
        scores: Of each, where merges are known by them.
        merges: In their order, where they are written out.
        settings: All else, by its full name.
    """

    tokens: list[str]
    types: list[int]
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


def why_not(tokenizer: PreTrainedTokenizerFast, *, encoder: bool) -> str | None:
    """Return why llama.cpp would read text otherwise; None if it does not.

    Args:
        tokenizer: The tokenizer.
        encoder: Of a model that reads text from both sides, whose words llama.cpp cuts into WordPieces.
    """
    content = _content(tokenizer)
    rules = cuts.rules_of(content, encoder=encoder)
    if isinstance(rules, str):
        return rules
    for token in content["added_tokens"]:
        if taken := [name for name in AROUND if token.get(name)]:
            return f"llama.cpp has no {' and '.join(taken)} for an added token, and {token['content']!r} has"
    if rules.model == "gpt2" and not content["model"]["merges"]:
        return "its tokenizer has no merges, and llama.cpp loads none of bytes without them"
    if not encoder and tokenizer.eos_token_id is None:
        return "its tokenizer has no end of text (eos_token), and llama.cpp takes the token 11 for it then"
    return _around(tokenizer, encoder=encoder) or cuts.merges_why_not(content, tokenizer, rules)


def vocabulary_of(tokenizer: PreTrainedTokenizerFast, size: int, *, encoder: bool) -> Vocabulary:
    """Return what a file says of a tokenizer that is not refused.

    Args:
        tokenizer: The tokenizer.
        size: Rows of the model's embedding: ids without a token get names that no text has.
        encoder: See `why_not`.

    Raises:
        ValueError: Two ids have the same text.
    """
    content = _content(tokenizer)
    rules = cuts.rules_of(content, encoder=encoder)
    assert not isinstance(rules, str), rules
    model, added = content["model"], {token["id"]: token for token in content["added_tokens"]}
    texts = {i: token for token, i in model["vocab"].items()} | {i: token["content"] for i, token in added.items()}
    kinds = {i: CONTROL if token["special"] else USER_DEFINED for i, token in added.items()}
    if rules.model != "gpt2":
        kinds |= {i: UNKNOWN for i, text in texts.items() if text == model.get("unk_token")}
        kinds |= {i: BYTE for i, text in texts.items() if rules.model == "llama" and cuts.IS_BYTE.fullmatch(text)}
    if rules.model == "bert":
        texts = {i: text if i in kinds else cuts.phantom(text) for i, text in texts.items()}
    tokens = [texts.get(i, f"[UNUSED_{i}]") for i in range(size)]
    if len(set(tokens)) < size:
        twice = next(token for token in tokens if tokens.count(token) > 1)
        raise ValueError(f"its tokenizer has two ids for {twice!r}, which llama.cpp refuses")
    types = [kinds.get(i, NORMAL if i in texts else UNUSED) for i in range(size)]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model.get("merges", ())]
    scores = cuts.scores_of(tokens, merges) if rules.model == "llama" else []
    settings = {**rules.settings, **_roles(tokenizer, encoder=encoder), **_templates(tokenizer)}
    return Vocabulary(tokens, types, scores, merges if rules.model == "gpt2" else [], settings)


def _content(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return found


def _put(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Return the ids that are put before a text, and behind it."""
    bare = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    whole = list(tokenizer(PROBE)["input_ids"])
    start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == list(bare)), 0)
    return whole[:start], whole[start + len(bare) :]


def _around(tokenizer: PreTrainedTokenizerFast, *, encoder: bool) -> str | None:
    """Return why what is put around a text is refused: more than BOS and EOS, or CLS and SEP."""
    before, behind = _put(tokenizer)
    first, last = (
        (tokenizer.cls_token_id, tokenizer.sep_token_id)
        if encoder
        else (tokenizer.bos_token_id, tokenizer.eos_token_id)
    )
    if encoder and (before, behind) != ([first], [last]):
        return "llama.cpp puts CLS before a text and SEP behind it, and its tokenizer does not"
    if before not in ([], [first]) or behind not in ([], [last]):
        return f"llama.cpp puts BOS or EOS around a text, and its tokenizer the ids {before} and {behind}"
    return None


def _roles(tokenizer: PreTrainedTokenizerFast, *, encoder: bool) -> dict[str, Any]:
    """Return the ids of special tokens, and whether they are put around a text."""
    roles: Mapping[str, str] = ENCODER_ROLES if encoder else ROLES
    found = {
        key: tokenizer.convert_tokens_to_ids(token)
        for role, key in roles.items()
        if (token := getattr(tokenizer, role))
    }
    if encoder:
        return found
    before, behind = _put(tokenizer)
    # Without one llama.cpp takes the token 11 for it.
    found.setdefault(ROLES["bos_token"], found[ROLES["eos_token"]])
    return found | {"tokenizer.ggml.add_bos_token": bool(before), "tokenizer.ggml.add_eos_token": bool(behind)}


def _templates(tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """Return the chat template, or several by their names."""
    own: Any = tokenizer.chat_template
    if not own:
        return {}
    named = own if isinstance(own, dict) else {"default": own}
    return {TEMPLATE if name == "default" else f"{TEMPLATE}.{name}": text for name, text in named.items()}

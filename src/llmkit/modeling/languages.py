"""The languages of translators that read and write many: each text begins or ends with the token of its own.

M2M-100    __en__ Open the file. </s>      ->  __zh__ 打开文件。 </s>
NLLB       eng_Latn Open the file. </s>    ->  zho_Hans 打开文件。 </s>
mBART-50   en_XX Open the file. </s>       ->  zh_CN 打开文件。 </s>
mBART      Open the file. </s> en_XX       ->  打开文件。 </s> zh_CN   (its decoder starts from zh_CN)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SOURCE, TARGET = "objective.source_language", "objective.target_language"


def speaks(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Tell whether a tokenizer marks the language of a text."""
    return bool(getattr(tokenizer, "languages", True)) and hasattr(tokenizer, "set_src_lang_special_tokens")


def target_side(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the targets: of most models that of the sources."""
    target: PreTrainedTokenizerFast = getattr(tokenizer, "target", tokenizer)
    return target


def set_languages(tokenizer: PreTrainedTokenizerFast, source: str | None, target: str | None) -> None:
    """Have a tokenizer mark the languages of sources and targets; those that are not given stay as they are saved.

    Raises:
        ConfigError: A language is missing, or none that it knows; or it marks none.
        DataError: It marks languages as no decoder can be asked to.
    """
    given: dict[str, str | None] = {SOURCE: source, TARGET: target}
    if not speaks(tokenizer):
        if named := [field for field, language in given.items() if language is not None]:
            raise ConfigError(
                f"{named[0]}: the model's tokenizer marks no languages",
                "leave it out; objective.prefix stands before every source",
            )
        return
    known: Any = tokenizer
    if getattr(known, "legacy_behaviour", False):
        raise DataError(
            f"the tokenizer in '{tokenizer.name_or_path}' puts the language behind a target (legacy_behaviour), and"
            " generation is told it before one",
            'set "legacy_behaviour": false in its tokenizer_config.json',
        )
    if known.tgt_lang is not None:  # it was saved with both
        given = {SOURCE: source or known.src_lang, TARGET: target or known.tgt_lang}
    names = language_names(tokenizer)
    for field, language in given.items():
        if language is None:
            raise ConfigError(
                f"{field}: the model's tokenizer marks the language of each text, and nothing says which one",
                f"-s {field}=NAME, of {_examples(names)}",
            )
        if language not in names:
            raise ConfigError(
                f"{field}: the model's tokenizer knows no '{language}'{nearest(language, names)}",
                f"-s {field}=NAME, of {_examples(names)}",
            )
    known.src_lang, known.tgt_lang = given[SOURCE], given[TARGET]
    known.set_src_lang_special_tokens(known.src_lang)


def language_names(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the names of the languages that a tokenizer marks."""
    known: Any = tokenizer
    if names := getattr(known, "languages", None):
        return list(names)
    roles = {str(value) for value in tokenizer.special_tokens_map.values() if isinstance(value, str)}
    return [token for token in tokenizer.all_special_tokens if token not in roles]


def target_language_id(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """Return the id of the token that marks the targets' language, of a tokenizer that has been given one."""
    known: Any = tokenizer
    if not speaks(tokenizer) or known.tgt_lang is None:
        return None
    token = getattr(known, "languages", {}).get(known.tgt_lang, known.tgt_lang)
    return int(tokenizer.convert_tokens_to_ids(token))


def _examples(names: list[str]) -> str:
    first = [name for start in ("en", "zh", "fr") for name in names if name.startswith(start)][:3]
    return f"{', '.join(first or names[:3])} and {len(names) - len(first or names[:3]):,} others"

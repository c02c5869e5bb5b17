"""Fast tokenizers for translators that transformers has slow ones for alone: Marian's and M2M-100's.

Marian has a SentencePiece model for the sources and another one for the targets, over one `vocab.json`:
`source.spm` cuts "Open the file." and `target.spm` cuts "打开文件。". M2M-100 has one, and a token of the language
before a text: `__en__ Open the file. </s>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from transformers import PreTrainedTokenizerFast

from llmkit.core.durable import write_json
from llmkit.core.errors import DataError
from llmkit.modeling.sentencepiece_model import BYTE, CONTROL, UNKNOWN, Piece, SentencePieceModel, read_model
from llmkit.modeling.sentencepiece_pipeline import to_tokenizer
from llmkit.modeling.served import UNLIMITED

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

CONFIG = "tokenizer_config.json"
CLASSES = ("MarianTokenizer", "M2M100Tokenizer")
"""Those that are read here, by the names that transformers has for them."""


class Translating(PreTrainedTokenizerFast):  # type: ignore[misc]
    """A tokenizer of two sides, which `tokenizer(text_target=...)` changes between; saved as it was found.

    Ids are those of transformers wherever the side's SentencePiece model and the vocabulary have the same pieces: a
    piece that only the other side has is found where nothing else stands for its characters, and one that the
    vocabulary lacks is cut into others instead of being unknown.

    Attributes:
        target: A tokenizer of the targets, whatever side is on.
        languages: Token of each language by its name; empty for a model of one pair of languages.
        src_lang, tgt_lang: The languages of the sources and of the targets.
    """

    target: PreTrainedTokenizerFast
    languages: Mapping[str, str]
    src_lang: str | None
    tgt_lang: str | None

    @classmethod
    def of(cls, slow: PreTrainedTokenizerBase, folder: Path) -> Self:
        """Return the fast tokenizer for a slow one of `CLASSES` that was loaded from a folder.

        Raises:
            DataError: Its sides have vocabularies of their own, or a file is damaged.
        """
        known: Any = slow
        if getattr(known, "separate_vocabs", False):
            raise DataError(
                f"the tokenizer in '{folder}' has a vocabulary for the sources and another one for the targets"
                " (separate_vocabs), which is not supported",
                "name a model with one vocabulary for both, as nearly all of Marian's are",
            )
        names = {name: str(value) for name, value in known.special_tokens_map.items() if isinstance(value, str)}
        files = [Path(name) for name in getattr(known, "spm_files", None) or [known.spm_file]]
        models = [_in_ids_of(known.encoder, read_model(file.read_bytes(), str(file)), names, folder) for file in files]
        languages = dict(getattr(known, "lang_code_to_token", {}))
        source, *others = [_backend(model, languages) for model in models]
        settings = {**names, "extra_special_tokens": [*languages.values()], "clean_up_tokenization_spaces": False}
        made = cls(tokenizer_object=source, model_max_length=known.model_max_length, **settings)
        target = PreTrainedTokenizerFast(tokenizer_object=others[0] if others else source, **settings)
        made.model_input_names = target.model_input_names = ["input_ids", "attention_mask"]
        made.target, made.languages = target, languages
        made._sides = (source, target.backend_tokenizer)
        made._class = type(known).__name__
        made._files = {name: (folder / name).read_bytes() for name in known.vocab_files_names.values()
                       if (folder / name).is_file()}  # fmt: skip
        made.src_lang, made.tgt_lang = (getattr(known, name, None) for name in ("src_lang", "tgt_lang"))
        made._switch_to_input_mode()
        return made

    def set_src_lang_special_tokens(self, language: str | None) -> None:
        """Put the token of a language before what is read next, as transformers' own do."""
        self._around(language)

    def _switch_to_input_mode(self) -> None:
        self._tokenizer = self._sides[0]
        self._around(self.src_lang)

    def _switch_to_target_mode(self) -> None:
        self._tokenizer = self._sides[1]
        self._around(self.tgt_lang)

    def _around(self, language: str | None) -> None:
        """Have EOS put behind a text and, where there are languages, the token of one before it."""
        from tokenizers import processors

        before = [token for name, token in self.languages.items() if name == language]
        own = [*before, str(self.eos_token)]
        self._tokenizer.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", own[-1]], pair=[*before, "$A", "$B", own[-1]],
            special_tokens=[(token, self._tokenizer.token_to_id(token)) for token in own],
        )  # fmt: skip

    def save_pretrained(self, save_directory: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        """Write the files that transformers reads, with the languages that are set."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files.items():
            (folder / name).write_bytes(content)
        settings = json.loads(self._files.get(CONFIG, b"{}"))
        settings |= {"tokenizer_class": self._class}
        if self.model_max_length < UNLIMITED:
            settings["model_max_length"] = self.model_max_length
        settings |= {"src_lang": self.src_lang, "tgt_lang": self.tgt_lang} if self.languages else {}
        write_json(folder / CONFIG, settings)
        return tuple(str(folder / name) for name in {*self._files, CONFIG})


def _in_ids_of(
    vocabulary: Mapping[str, int], model: SentencePieceModel, names: Mapping[str, str], folder: Path
) -> SentencePieceModel:
    """Return a SentencePiece model whose pieces have the ids of a vocabulary.

    Raises:
        DataError: The ids of the vocabulary are no places in a list, or it lacks the unknown token.
    """
    texts = sorted(vocabulary, key=vocabulary.__getitem__)
    if [vocabulary[text] for text in texts] != list(range(len(texts))) or names.get("unk_token") not in vocabulary:
        raise DataError(f"the vocab.json in '{folder}' is damaged: its ids have gaps, or it lacks the unknown token")
    own = {piece.text: piece for piece in model.pieces}
    kinds = dict.fromkeys((text for role, text in names.items() if role.endswith("_token")), CONTROL)
    kinds[names["unk_token"]] = UNKNOWN
    # Of what the model lacks nothing is merged or found, as of the names of bytes.
    pieces = [
        Piece(text, 0.0, kinds[text]) if text in kinds else own.get(text, Piece(text, 0.0, BYTE)) for text in texts
    ]
    roles = {role: names[f"{role}_token"] for role in ("bos", "eos", "pad", "unk") if f"{role}_token" in names}
    return replace(
        model, pieces=pieces,
        specials={role: vocabulary[text] for role, text in roles.items() if text in vocabulary},
    )  # fmt: skip


def _backend(model: SentencePieceModel, languages: Mapping[str, str]) -> Tokenizer:
    """Return a side's pipeline with the tokens of languages: behind the vocabulary, or Marian's `>>fr<<` in it."""
    from tokenizers import AddedToken

    backend: Tokenizer = to_tokenizer(model).backend_tokenizer
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in languages.values()])
    marks = [piece.text for piece in model.pieces if piece.text.startswith(">>") and piece.text.endswith("<<")]
    backend.add_tokens([AddedToken(mark, normalized=False) for mark in marks])
    return backend

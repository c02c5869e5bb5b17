"""Find ids with gigatoken, some twenty times faster than `tokenizers`, where both agree.

gigatoken (https://github.com/marcelroed/gigatoken) keeps the ids of words it has seen, and cuts words with hand-written
scanners instead of regular expressions. It is used through its compiled module, which needs none of the packages that
its Python layer brings.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from llmkit.core.machine import raise_limit
from llmkit.modeling.literal import LiteralEncoder, flatten
from llmkit.text.utf8 import byte_characters

FORMS = frozenset({"NFC", "NFD", "NFKC", "NFKD"})
"""Normalizers that leave a text which is in their form as it is, and ASCII always."""
PROBES = (
    "It's 3 o'clock; they'LL say 'don't'. \n\n\t Tabs\tand   runs of  blanks \r\n\r\nend ",
    "x1234567 12,345.67 0x7fff ½ ²³ ٣٤٥ Ⅷ ①② __init__(self, *args): # !?!? ...",
    "天下大势，分久必合，合久必分。话说3个人，in 2024年，用Python写代码！？「你好」（全角）１２３ＡＢＣ",
    "日本語のテキストとカタカナ、한국어 문장입니다. Русский текст, Ελληνικά, العربية ١٢٣, עברית, ไทย, हिन्दी",
    "🦊👨‍👩‍👧‍👦🇩🇪 e\u0301 é ﬁ ﷺ \u200b\u200d\ufeff\u00a0\u3000\u2028\u0085 \x00\x1b\x7f \U00020000\U0010ffff ʼn ǅ",
    "a" * 300 + " " * 300 + "\n" * 300 + "字" * 300 + "1" * 300 + "!" * 300,
    "",
    " ",
    "\n",
)
"""Texts on which encoders that differ are known to differ: contractions, blanks, numbers, scripts, marks, long runs."""


class FastEncoder:
    """gigatoken, for one tokenizer.

    Args:
        literal: The definition of the ids.
        find_special: Special tokens may stand in the text, where the definition finds them.

    Raises:
        ValueError: gigatoken cannot do this tokenizer; the message says why.
    """

    name = "gigatoken"

    def __init__(self, literal: LiteralEncoder, *, find_special: bool = False) -> None:
        if literal.allow_special and not find_special:
            raise ValueError("special tokens are looked for in the text")
        content = _supported(literal)
        try:
            from gigatoken.gigatoken_rs import load_hf_json
        except ImportError as error:
            raise ValueError(f"gigatoken cannot be imported ({error})") from None
        try:
            self._backend = load_hf_json(orjson.dumps(content))
        except RuntimeError as error:  # a pre-tokenizer it does not know
            raise_limit(error)
            raise ValueError(str(error).strip().split("\n", 1)[0]) from None
        self.forms = [part["type"] for part in flatten(literal.content["normalizer"], "normalizers")]

    def takes(self, document: bytes) -> bool:
        """Tell whether the ids of a document are to be found here: it must be as the tokenizer would normalize it."""
        return is_normal(document, self.forms)

    def encode(self, document: bytes) -> NDArray[np.uint32]:
        """Return the ids of a document in UTF-8 that this encoder takes, `[tokens]`."""
        ids: NDArray[np.uint32] = self._backend.encode(document)
        return ids

    @staticmethod
    def version() -> str | None:
        """Return the installed version."""
        try:
            return version("gigatoken")
        except PackageNotFoundError:
            return None


def is_normal(document: bytes, forms: Sequence[Any]) -> bool:
    """Tell whether a document in UTF-8 is in all of some normal forms."""
    if not forms or document.isascii():
        return True
    text = document.decode()
    return all(unicodedata.is_normalized(form, text) for form in forms)


def _supported(literal: LiteralEncoder) -> dict[str, Any]:
    """Return the tokenizer for gigatoken: without normalization, and special tokens if text must not become any."""
    bare = {"post_processor": None, "truncation": None, "padding": None}
    content = {**literal.content, **bare} if literal.allow_special else literal.without_special()
    model, cutters = content["model"], flatten(content["pre_tokenizer"], "pretokenizers")
    if model["type"] != "BPE" or not any(part["type"] == "ByteLevel" for part in cutters):
        raise ValueError(f"the tokenizer is {model['type']}, not byte-level BPE")
    if model.get("dropout"):
        raise ValueError("the tokenizer drops merges at random")
    if len(model.get("merges", ())) < len(literal.content["model"].get("merges", ())):
        raise ValueError("a special token has a part in a merge")
    forms = [part["type"] for part in flatten(content["normalizer"], "normalizers")]
    if not FORMS.issuperset(forms):
        raise ValueError("the tokenizer changes the text before it cuts it")
    if any(part["type"] == "ByteLevel" and part["add_prefix_space"] for part in cutters):
        raise ValueError("the tokenizer puts a space before the text")
    for token in content["added_tokens"]:
        reaches = literal.allow_special and (token["lstrip"] or token["rstrip"])
        changed = token["normalized"] and not is_normal(token["content"].encode(), forms)
        if token["single_word"] or reaches or changed:
            raise ValueError(f"the added token {token['content']!r} is not found wherever it stands")
    content["normalizer"] = None  # documents that are not normal already are left to `tokenizers`
    return content


def token_sizes(content: dict[str, Any], vocab_size: int) -> NDArray[np.int32] | None:
    """Return how many bytes of text each token stands for, `[vocab_size]`; None where its length does not tell.

    A token of the byte alphabet has a character per byte; an added token is written as it is.
    """
    model = content["model"]
    cutters = flatten(content["pre_tokenizer"], "pretokenizers")
    if model["type"] != "BPE" or not cutters or cutters[-1]["type"] != "ByteLevel":
        return None
    if any(part.get("add_prefix_space") or part.get("behavior") == "Removed" for part in cutters):
        return None
    if any(model.get(mark) for mark in ("continuing_subword_prefix", "end_of_word_suffix")):
        return None
    if (model.get("unk_token") is not None or model.get("byte_fallback")) and lacks_bytes(content):
        return None
    forms = [part["type"] for part in flatten(content["normalizer"], "normalizers")]
    normalized = [token["content"].encode() for token in content["added_tokens"] if token["normalized"]]
    if not FORMS.issuperset(forms) or not all(is_normal(token, forms) for token in normalized):
        return None
    sizes = np.zeros(vocab_size, np.int32)
    for token, i in model["vocab"].items():
        sizes[i] = len(token)
    for added in content["added_tokens"]:
        sizes[added["id"]] = len(added["content"].encode())
    return sizes


def lacks_bytes(content: dict[str, Any], special: Container[str] = ()) -> bool:
    """Tell whether a byte has no token in a byte-level vocabulary, or only a special one, which text never becomes."""
    vocab = content["model"]["vocab"]
    return any(character not in vocab or character in special for character in byte_characters())

"""Find ids with gigatoken, some twenty times faster than `tokenizers`, and check them against it on the text at hand.

gigatoken (https://github.com/marcelroed/gigatoken) keeps the ids of words it has seen, and cuts words with hand-written
scanners instead of regular expressions. It is used through its compiled module, which needs none of the packages that
its Python layer brings.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from llmkit.modeling.literal import LiteralEncoder
from llmkit.tokenization.batch import Batch
from llmkit.tokenization.borders import flatten

FORMS = frozenset({"NFC", "NFD", "NFKC", "NFKD"})
"""Normalizers that leave a text which is in their form as it is, and ASCII always."""
FIRST, CHECK_EVERY = 8, 1000
"""The first so many documents of a task are checked, before any is written, and then one of so many."""
MAX_CHECKED_BYTES = 4096
"""Of a longer document the beginning is checked."""
MAX_EXCERPTS = 64
"""Excerpts around special tokens checked per task."""
_MARGIN = 48
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

    Raises:
        ValueError: gigatoken cannot do this tokenizer; the message says why.
    """

    name = "gigatoken"

    def __init__(self, literal: LiteralEncoder) -> None:
        content = _supported(literal)
        try:
            from gigatoken.gigatoken_rs import load_hf_json
        except ImportError as error:
            raise ValueError(f"gigatoken cannot be imported ({error})") from None
        try:
            self._backend = load_hf_json(orjson.dumps(content))
        except RuntimeError as error:  # a pre-tokenizer it does not know
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
    """Return the tokenizer for gigatoken: without special tokens, which text must not become, and normalization."""
    content = literal.without_special()
    model, cutters = content["model"], flatten(content["pre_tokenizer"], "pretokenizers")
    if literal.allow_special:
        raise ValueError("special tokens are looked for in the text")
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
        if token["single_word"] or (token["normalized"] and not is_normal(token["content"].encode(), forms)):
            raise ValueError(f"the added token {token['content']!r} is not found wherever it stands")
    content["normalizer"] = None  # documents that are not normal already are left to `tokenizers`
    return content


@dataclass
class Check:
    """Compares the ids of a fast encoder with those of `tokenizers` on a part of the text.

    Checked are the probes, the first documents, one in a thousand, and the surroundings of special tokens and of the
    first character of every block of 256 in Unicode. That costs a few hundredths of the time.

    Attributes:
        literal: The definition of the ids.
        fast: What is checked.
        documents: How many documents, or excerpts of them, were compared.
        num_bytes: Their UTF-8 bytes.
        differences: Texts whose ids differ; only the first few are kept.
    """

    literal: LiteralEncoder
    fast: FastEncoder
    documents: int = 0
    num_bytes: int = 0
    differences: list[str] = field(default_factory=list)
    _seen: int = 0
    _excerpts: int = 0

    def probes(self) -> None:
        """Compare the probes, with the special tokens among them as text."""
        names = self.literal.added
        self.texts([*PROBES, "".join(names), "a ".join(names), *names])

    def texts(self, texts: Iterable[str]) -> None:
        """Compare whole texts."""
        checked = [text for text in texts if self.fast.takes(text.encode())]
        for text, (ids, _) in zip(checked, self.literal.encode(checked), strict=True):
            self._compare(text, self.fast.encode(text.encode()), ids)

    def batch(self, batch: Batch, ids: NDArray[Any], counts: NDArray[np.int64], unusual: Iterable[int]) -> None:
        """Compare some of the documents of a batch.

        Args:
            batch: The documents.
            ids: Their ids as they are about to be written.
            counts: How many of them each document has.
            unusual: Positions in `batch.data` of characters that are new in this task.
        """
        ends = np.cumsum(counts)
        first = [d for d in range(len(batch)) if (self._seen + d) % CHECK_EVERY == 0 or self._seen + d < FIRST]
        self._seen += len(batch)
        short = [d for d in first if batch.sizes[d] <= MAX_CHECKED_BYTES]
        texts = [batch.text(d) for d in short]
        for d, text, (expected, _) in zip(short, texts, self.literal.encode(texts), strict=True):
            self._compare(text, ids[ends[d] - counts[d] : ends[d]], expected)
        long = [int(batch.bounds[d]) for d in first if batch.sizes[d] > MAX_CHECKED_BYTES]
        excerpts = [batch.excerpt(at, after=MAX_CHECKED_BYTES) for at in long]
        places = [*unusual, *self._specials(batch)]
        self.texts([*excerpts, *(batch.excerpt(at, before=_MARGIN, after=_MARGIN) for at in places)])

    def _specials(self, batch: Batch) -> Iterator[int]:
        if self._patterns is None or self._excerpts >= MAX_EXCERPTS:
            return
        for _, start, _ in self._patterns.find_matches_as_indexes(batch.data.data):
            if self._excerpts >= MAX_EXCERPTS:
                return
            self._excerpts += 1
            yield start

    @cached_property
    def _patterns(self) -> Any:
        from ahocorasick_rs import BytesAhoCorasick

        tokens = {content.encode() for content in (*self.literal.special, *self.literal.added) if content}
        return BytesAhoCorasick(sorted(tokens)) if tokens else None

    def _compare(self, text: str, ids: NDArray[Any], expected: NDArray[Any]) -> None:
        self.documents += 1
        self.num_bytes += len(text.encode())
        if not np.array_equal(ids, expected) and len(self.differences) < 3:
            self.differences.append(text[:200])

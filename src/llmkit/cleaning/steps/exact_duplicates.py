"""Drop all but one of documents with equal text, across files and inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from llmkit.cleaning.steps import Drop, GlobalStep, Recorder
from llmkit.core.digest import canonical_json
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.survey import Survey, Verdict
    from llmkit.work.engine import Engine

_PART_CHARS = 2**20
_BLANKS = bytes(ord(" ") if chr(byte).isspace() else byte for byte in range(128)) + bytes(range(128, 256))


class ExactDuplicates(GlobalStep):
    """Compare 128-bit hashes of the text, with runs of whitespace taken as one space.

    The copy with the smallest id stays, whatever the order of the inputs. 128 bits: no unique document is lost to a
    collision, as with a Bloom filter.
    """

    label_fields: list[str] = ["label", "labels"]
    """Columns (in `meta`) that copies should agree on; a text with different labels is counted as a label conflict.
    Labelled rows have a label (or tags) of their own, which goes before these."""
    on_conflict: Literal["keep", "drop"] = "keep"
    """What happens to a text with different labels: `keep` one copy, or `drop` all of them."""

    def recorder(self) -> Recorder:
        """Return a recorder of text hashes."""
        from llmkit.cleaning.duplicates import KeyRecorder, rank_of

        step = self

        class Keys(KeyRecorder):
            def add(self, row: int, document: Document) -> None:
                self.add_key(_key(document.text), rank_of(document.id), row, label=step._label(document))

        return Keys()

    def decide(self, survey: Survey, engine: Engine) -> Mapping[str, int]:
        """Judge bucket by bucket; count the texts that occur more than once, and the label conflicts."""
        from llmkit.cleaning.duplicates import judge_equal

        groups, conflicts = 0, 0
        for found in survey.map_buckets(engine, judge_equal, self.on_conflict == "drop"):
            groups, conflicts = groups + found[0], conflicts + found[1]
        survey.judge(engine)
        return {"texts with copies": groups, "label conflicts": conflicts}

    def act(self, document: Document, verdicts: list[Verdict]) -> Drop | None:  # noqa: ARG002 - the interface
        """Drop the copy."""
        verdict = verdicts[0]
        if not verdict.value:
            return Drop("exact_duplicates", f"same as {verdict.keeper}", "smallest id stays")
        if self.on_conflict == "drop":
            return Drop("exact_duplicates.conflict", f"same text as {verdict.keeper}, different labels", "no conflict")
        return Drop("exact_duplicates.conflict", f"same as {verdict.keeper} but for the label", "smallest id stays")

    def _label(self, document: Document) -> int:
        target = document.kind.target(document.row) if document.kind and document.row else None
        values = [document.meta.get(name) for name in self.label_fields] if target is None else [target]
        if all(value is None for value in values):
            return 0
        return int.from_bytes(hashlib.blake2b(canonical_json(values).encode(), digest_size=4).digest(), "big") | 1


def _key(text: str) -> bytes:
    """Hash a text with runs of whitespace as one space, a part at a time: a list of all words may be large."""
    digest = hashlib.blake2b(digest_size=16)
    if text.isascii() and len(text) <= _PART_CHARS:  # the same, three times as fast
        data = text.encode().translate(_BLANKS).strip(b" ")
        while b"  " in data:
            data = data.replace(b"  ", b" ")
        digest.update(data)
        return digest.digest()
    begun = apart = False
    for start in range(0, len(text), _PART_CHARS):
        part = text[start : start + _PART_CHARS]
        words = " ".join(part.split())
        if words:
            digest.update(b" " * (begun and (apart or part[0].isspace())) + words.encode("utf-8", "surrogatepass"))
            begun, apart = True, part[-1].isspace()
        else:
            apart = True
    return digest.digest()

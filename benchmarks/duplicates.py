"""Recall and precision of `near_duplicates` on planted edits, beside what the theory of MinHash-LSH says.

Pairs of documents share a known part of their 5-grams (words in English, characters in Chinese); unrelated documents
and documents that share nothing but a long phrase stand between them. A pair of Jaccard similarity J shares a band
with probability 1 - (1 - J^rows)^bands; verification keeps those whose signatures agree in a share of `similarity`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from llmkit.cleaning.exchange import save_array
from llmkit.cleaning.steps.near_duplicates import NearDuplicates
from llmkit.cleaning.survey import Survey
from llmkit.data.corpus import Document, document_id
from llmkit.work.engine import Engine

SIMILARITIES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
LENGTH = 300
HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]


@dataclass(frozen=True)
class Row:
    """What became of the pairs of one similarity."""

    language: str
    jaccard: float
    pairs: int
    candidates_expected: float
    candidates: float
    verified_expected: float
    verified: float


def document(rng: random.Random, language: str, length: int = LENGTH) -> list[str]:
    """Return random words, or random Chinese characters."""
    return (
        rng.choices(HAN, k=length)
        if language == "zh"
        else ["".join(rng.choices("abcdefghij", k=5)) for _ in range(length)]
    )


def partner(rng: random.Random, tokens: Sequence[str], jaccard: float, language: str) -> list[str]:
    """Return a document of the same length that shares `jaccard` of the 5-grams: the end is new."""
    grams = len(tokens) - 4
    new = round(grams * (1 - jaccard) / (1 + jaccard))
    return [*tokens[: len(tokens) - new], *document(rng, language, new)]


def exact(a: Sequence[str], b: Sequence[str]) -> float:
    """Return the Jaccard similarity of the sets of 5-grams."""
    left, right = ({tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)} for tokens in (a, b))
    return len(left & right) / len(left | right)


def dropped(step: NearDuplicates, documents: Sequence[Document]) -> dict[int, str]:
    """Return the positions of the documents that fall, with the ids of what stays instead."""
    with tempfile.TemporaryDirectory() as name:
        survey = Survey(Path(name, "step"), Path(name, "ids"), 1, 1)
        survey.ids.mkdir()
        recorder = step.recorder()
        for row, one in enumerate(documents):
            recorder.add(row, one)
        survey.record(0, recorder.tables())
        ids = np.frombuffer(b"".join(bytes.fromhex(one.id) for one in documents), np.uint8).reshape(-1, 16)
        save_array(survey.ids_path(0), ids)
        step.decide(survey, Engine(workers=1))
        return {row: verdicts[0].keeper for row, verdicts in survey.verdicts_by_row(0).items()}


def passes(jaccard: float, step: NearDuplicates) -> float:
    """Return the probability that a signature estimates a similarity of at least the step's."""
    size = step.bands * step.rows
    least = math.ceil(step.similarity * size - 1e-6)
    return sum(math.comb(size, k) * jaccard**k * (1 - jaccard) ** (size - k) for k in range(least, size + 1))


def measure(language: str, pairs: int, others: int, seed: int) -> tuple[list[Row], dict[str, float]]:
    """Plant pairs of every similarity among other documents; return recall per similarity, and precision."""
    rng = random.Random(seed)
    phrase = document(rng, language, LENGTH // 3)
    lists: list[list[str]] = []
    for jaccard in SIMILARITIES:
        for _ in range(pairs):
            tokens = document(rng, language)
            lists += [tokens, partner(rng, tokens, jaccard, language)]
    planted = len(lists)
    lists += [document(rng, language) for _ in range(others)]
    lists += [[*phrase, *document(rng, language, LENGTH - len(phrase))] for _ in range(others)]
    glue = "" if language == "zh" else " "
    documents = []
    for row, tokens in enumerate(lists):
        text = glue.join(tokens)
        documents.append(Document(document_id("benchmark", language, row, text), text, "benchmark"))
    place = {one.id: row for row, one in enumerate(documents)}
    step = NearDuplicates()
    fell = {"candidates": dropped(NearDuplicates(similarity=0), documents)}
    start = perf_counter()
    fell["verified"] = dropped(step, documents)
    seconds = perf_counter() - start
    rows = []
    for i, jaccard in enumerate(SIMILARITIES):
        places = range(2 * i * pairs, 2 * (i + 1) * pairs, 2)
        band = 1 - (1 - jaccard**step.rows) ** step.bands
        found = {name: sum(p in f or p + 1 in f for p in places) / pairs for name, f in fell.items()}
        # The two are not independent: an estimate above the limit makes a common band likelier, so this is a floor.
        rows.append(
            Row(language, jaccard, pairs, band, found["candidates"], band * passes(jaccard, step), found["verified"])
        )
    least = step.similarity - 4 * math.sqrt(step.similarity * (1 - step.similarity) / (step.bands * step.rows))
    summary = {"documents": float(len(documents)), "documents_per_second": len(documents) / seconds}
    for name, f in fell.items():
        right = sum(row < planted and exact(lists[row], lists[place[keeper]]) >= least for row, keeper in f.items())
        summary |= {f"{name}_dropped": float(len(f)), f"{name}_precision": right / max(len(f), 1)}
    return rows, summary


def main() -> None:
    """Print a table per language and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=300, help="pairs per similarity")
    parser.add_argument("--others", type=int, default=1500, help="documents that are no duplicates, of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("duplicates.json"))
    options = parser.parse_args()
    found = {}
    for language in ("en", "zh"):
        rows, summary = measure(language, options.pairs, options.others, options.seed)
        found[language] = {"rows": [asdict(row) for row in rows], **summary}
        print(f"{language}: recall over {options.pairs} pairs each")
        print("     J   band expected   found   verified expected   found")
        for row in rows:
            print(
                f"  {row.jaccard:.2f}          {row.candidates_expected:6.1%}  {row.candidates:6.1%}"
                f"              {row.verified_expected:6.1%}  {row.verified:6.1%}"
            )
        print(
            f"  precision {summary['verified_precision']:.2%} of {summary['verified_dropped']:,.0f} dropped;"
            f" without verification {summary['candidates_precision']:.2%} of {summary['candidates_dropped']:,.0f};"
            f" {summary['documents_per_second']:,.0f} documents/s"
        )
    options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

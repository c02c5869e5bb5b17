"""Make a corpus of any size from a few megabytes of real text, with a known share of duplicates in it.

A document is a stretch of 1 to 8 KB of the real text in which part of the words (in scripts without spaces: of the
characters) are replaced by others of about the same frequency. A word is replaced by the same one wherever it occurs
in the document, so that the document repeats itself as the real text does, while two documents made of the same
stretch have a Jaccard similarity of about 0.2, far below what near-duplicate detection looks for. A row:
`{"id": "d00000007", "text": "...", "copy_of": "d00000003", "copy": "near"}`, the last two null where it is no copy.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

COPY_SHARE = 0.1
"""Share of the rows that are copies of an earlier row, half of them exact and half with 1 in 100 words replaced."""
PRIVATE_SHARE = 0.03
"""Share of the documents that end with an e-mail and an IP address."""
REPLACED_SHARE = 0.3
"""Share of a document's distinct words, the most frequent aside, that are replaced."""
KEPT_RANKS = 100
"""The most frequent words stay as they are: the quality rules count stop words."""
HISTORY = 4096
"""Documents that may be copied are drawn from this many, spread over everything written so far."""
MAX_PARAGRAPH_CHARS = 1200

_TOKEN = re.compile(r"[^\W\d_\u3400-\u9fff]+|[\u3400-\u9fff]|[\d_]+|\n|[^\w\n]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])(?![”’」』])")
_ITEM = re.compile(r"\s|[-*+•#.|>=:]|\d+[.)]")


class Row(TypedDict):
    """One line of the corpus."""

    id: str
    text: str
    copy_of: str | None
    copy: str | None


@dataclass(frozen=True)
class Pool:
    """Real text as numbers.

    Attributes:
        words: The distinct tokens, most frequent first; joined, tokens give the text back.
        ids: `[tokens]` int32 positions in `words`.
        sizes: `[tokens + 1]` int64 UTF-8 bytes before each token.
        borders: `[borders]` int64 first token of each paragraph, where a document may begin or end.
        replaceable: `[r]` int32 ids of the words that may be replaced, by script, then by frequency.
        rank: `[words]` int32 position in `replaceable`, -1 where the word stays.
    """

    words: list[str]
    ids: NDArray[np.int32]
    sizes: NDArray[np.int64]
    borders: NDArray[np.int64]
    replaceable: NDArray[np.int32]
    rank: NDArray[np.int32]

    @property
    def digest(self) -> str:
        """Name of what is in it."""
        return hashlib.blake2b("\0".join(self.words).encode() + self.ids.tobytes(), digest_size=6).hexdigest()


def read_texts(path: Path) -> Iterator[str]:
    """Yield the `text` of every row of a JSON Lines file, or of all of them in a directory (`.gz` or not)."""
    files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
    for file in files:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            for line in lines:
                if isinstance(text := json.loads(line).get("text"), str):
                    yield text


def python_docs() -> Iterator[str]:
    """Yield the documentation of the Python that runs: 2 MB of English that every machine has."""
    from llmkit.data.sources import Record
    from llmkit.data.sources.python_docs import PythonDocs

    source = PythonDocs(heldout_fraction=0, include=["topics", "docstrings"])
    for file in source.files():
        yield from (record.text for record in source.read(file) if isinstance(record, Record))


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs as web pages have them: one line each, except lists and code; very long ones are cut."""
    for block in re.split(r"\n\s*\n|(?<=[。！？])\s*\n", text):
        lines = block.strip("\n").rstrip().split("\n")
        prose = not any(_ITEM.match(line) for line in lines) and all(len(line) > 40 for line in lines[:-1])
        paragraph = " ".join(lines) if prose else "\n".join(line.rstrip() for line in lines)
        if len(paragraph) <= MAX_PARAGRAPH_CHARS:
            if paragraph.strip():
                yield paragraph
            continue
        gap = " " if " " in paragraph[:MAX_PARAGRAPH_CHARS].strip() else ""
        part = ""
        for sentence in _SENTENCE.split(paragraph):
            if part and len(part) + len(sentence) > MAX_PARAGRAPH_CHARS // 2:
                yield part
                part = ""
            part = f"{part}{gap}{sentence}" if part else sentence
        yield part


def make_pool(texts: Iterator[str]) -> Pool:
    """Turn real text into a pool.

    Raises:
        ValueError: It is less than 100 kB, from which no large corpus can be made.
    """
    tokens: list[str] = []
    borders = [0]
    for text in texts:
        for paragraph in paragraphs(text):
            tokens += _TOKEN.findall(paragraph)
            tokens.append("\n")
            borders.append(len(tokens))
    counts = Counter(tokens)
    words = [word for word, _ in counts.most_common()]
    index = {word: i for i, word in enumerate(words)}
    ids = np.fromiter((index[token] for token in tokens), np.int32, len(tokens))
    bytes_per_word = np.array([len(word.encode()) for word in words], np.int64)
    sizes = np.concatenate([[0], np.cumsum(bytes_per_word[ids])])
    if sizes[-1] < 100_000:
        raise ValueError(f"{sizes[-1]:,} bytes of text is too little to make a corpus of; give 100 kB at least")
    plain = [i for i, word in enumerate(words) if word.isalpha() and word == word.lower() and counts[word] > 1]
    spaced = [i for i in plain if words[i] < "\u3400" and len(words[i]) > 2]
    unspaced = [i for i in plain if words[i] >= "\u3400"]
    replaceable = np.array(spaced[KEPT_RANKS:] + unspaced[KEPT_RANKS:], np.int32)
    rank = np.full(len(words), -1, np.int32)
    rank[replaceable] = np.arange(len(replaceable))
    return Pool(words, ids, sizes, np.array(borders), replaceable, rank)


def _replace(pool: Pool, ids: NDArray[np.int32], chosen: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Replace, in place, the chosen ids by others at most 50 ranks of frequency away."""
    places = np.flatnonzero(chosen & (pool.rank[ids] >= 0))
    step = rng.integers(1, 51, len(places)) * rng.choice([-1, 1], len(places))
    ids[places] = pool.replaceable[(pool.rank[ids[places]] + step) % len(pool.replaceable)]


def _document(pool: Pool, rng: np.random.Generator) -> NDArray[np.int32]:
    size = int(1000 * 8 ** rng.random())  # 1 to 8 KB, as many between 1 and 2 as between 4 and 8
    begin = pool.borders[np.searchsorted(pool.borders, rng.integers(len(pool.ids) * 19 // 20))]
    position = np.searchsorted(pool.sizes, pool.sizes[begin] + size)
    end = pool.borders[min(np.searchsorted(pool.borders, position), len(pool.borders) - 1)]
    distinct, places = np.unique(pool.ids[begin:end], return_inverse=True)
    _replace(pool, distinct, rng.random(len(distinct)) < REPLACED_SHARE, rng)
    return distinct[places]


def make_rows(pool: Pool, num_bytes: int, seed: int = 0) -> Iterator[Row]:
    """Yield rows until their text has so many bytes in UTF-8; the same rows for the same seed."""
    rng = np.random.default_rng(seed)
    history: list[tuple[str, NDArray[np.int32], str]] = []
    written = 0
    for number in itertools.count():
        if written >= num_bytes:
            return
        name, copy_of, copy, ending = f"d{number:08}", None, None, ""
        if history and rng.random() < COPY_SHARE:
            copy_of, ids, ending = history[rng.integers(len(history))]
            copy = "exact" if rng.random() < 0.5 else "near"
            if copy == "near":
                ids = ids.copy()
                chosen = rng.random(len(ids)) < 0.02  # every second token is a space
                _replace(pool, ids, chosen, rng)
        else:
            ids = _document(pool, rng)
            if rng.random() < PRIVATE_SHARE:
                ending = f"Write to {name}@{name}.org or to the host 8.8.{number % 251}.{number % 241}."
            if len(history) < HISTORY:
                history.append((name, ids, ending))
            elif (place := int(rng.integers(number))) < HISTORY:
                history[place] = (name, ids, ending)
        text = "".join(map(pool.words.__getitem__, ids.tolist())).strip("\n")
        text = f"{text}\n{ending}" if ending else text
        written += len(text.encode())
        yield Row(id=name, text=text, copy_of=copy_of, copy=copy)


def write_corpus(pool: Pool, directory: Path, num_bytes: int, *, file_bytes: int, seed: int = 0) -> dict[str, Any]:
    """Write the rows as JSON Lines files and return `{documents, bytes, exact, near}`; a finished corpus is reused."""
    done = directory.parent / f"{directory.name}.json"
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    directory.mkdir(parents=True, exist_ok=True)
    counts = {"documents": 0, "bytes": 0, "exact": 0, "near": 0}
    rows = make_rows(pool, num_bytes, seed)
    for part in itertools.count():
        size = 0
        with (directory / f"part-{part:04}.jsonl").open("w") as out:
            for row in rows:
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                size += len(row["text"].encode())
                counts["documents"] += 1
                if row["copy"]:
                    counts[row["copy"]] += 1
                if size >= file_bytes:
                    break
        counts["bytes"] += size
        if size < file_bytes:
            break
    done.write_text(json.dumps(counts))
    return counts


def kept_rows(name: str, out: Path) -> Iterator[dict[str, Any]]:
    """Yield `{id, copy_of, copy}` of every row that one side has kept."""
    if name == "datatrove":
        for file in sorted((out / "kept").glob("*.jsonl")):
            with file.open() as lines:
                yield from ({"id": row["id"], **row["metadata"]} for row in map(json.loads, lines))
        return
    from llmkit.data.artifacts import Corpus

    yield from (json.loads(row["meta"]) for row in Corpus(out).rows(["meta"]))


def origins(rows: Iterator[dict[str, Any]]) -> set[str]:
    """Return the documents of which at least one copy is kept: which one, the two sides decide differently."""
    return {row["copy_of"] or row["id"] for row in rows}


def outcome(rows: Iterator[dict[str, Any]]) -> dict[str, int]:
    """Count the rows kept and the planted copies that were not found, both they and their original being there."""
    kept = {row["id"]: row for row in rows}
    missed = [row["copy"] for row in kept.values() if row["copy_of"] in kept]
    return {"kept": len(kept), "missed_exact": missed.count("exact"), "missed_near": missed.count("near")}
